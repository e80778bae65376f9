"""Random histories of everything that can happen to a ledger; the books must balance after each step."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Row, text

from jobs.errors import IllegalTransition, LeaseLost
from jobs.records import DocumentStatus, JobStatus, Lease, Outcome
from jobs.store.database import Database
from jobs.store.sql import SqlStore
from tests.support.ledger import Clock, Ledger

_HISTORIES = int(os.environ.get("TEXTMILL_HISTORIES", "60"))
_LEASE_SECONDS = 30.0


class Histories(RuleBasedStateMachine):
    """Clients, workers, crashes and time, in any order."""

    database_url: str

    @initialize()
    def begin(self) -> None:
        self.clock = Clock()
        self.database = Database(self.database_url, clock_offset=self.clock)
        self.database.write(lambda c: c.execute(text("DELETE FROM job")))
        self.ledger = Ledger(SqlStore(self.database, slice_tokens=10_000, slice_documents=16), self.clock)
        self.jobs: list[str] = []
        self.leases: list[Lease] = []
        self.cancelled_at: dict[str, int] = {}
        self.attempts: dict[tuple[int, int], int] = {}

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.database.close()

    @rule(count=st.integers(1, 7), may_take_seconds=st.sampled_from([None, None, 60.0]))
    def submit(self, count: int, may_take_seconds: float | None) -> None:
        expires_at = None
        if may_take_seconds is not None:
            expires_at = datetime.fromtimestamp(time.time() + self.clock() + may_take_seconds, UTC)
        self.jobs.append(self.ledger.submit(count, expires_at=expires_at).id)

    @precondition(lambda self: self.jobs)
    @rule(number=st.integers(0, 100))
    def claim(self, number: int) -> None:
        tickets = self.ledger.store.take_window(window=3, resend_after_seconds=0.0)
        if tickets:
            lease = self.ledger.claim(tickets[number % len(tickets)].key, lease_seconds=_LEASE_SECONDS)
            if lease is not None:
                assert lease.documents
                self.leases.append(lease)

    @precondition(lambda self: self.leases)
    @rule(number=st.integers(0, 100), count=st.integers(1, 4), fails=st.booleans())
    def settle(self, number: int, count: int, fails: bool) -> None:
        lease = self.leases[number % len(self.leases)]
        status = DocumentStatus.FAILED if fails else DocumentStatus.SUCCEEDED
        outcomes = [
            Outcome(seq=d.seq, status=status, output=None if fails else {"n": d.seq},
                    error_code="x" if fails else None, error_message="y" if fails else None)
            for d in lease.documents[:count]
        ]  # fmt: skip
        try:
            self.ledger.store.settle(lease.key, lease.attempt, outcomes)
        except LeaseLost:
            self.leases.remove(lease)

    @precondition(lambda self: self.leases)
    @rule(number=st.integers(0, 100))
    def name_a_suspect(self, number: int) -> None:
        lease = self.leases[number % len(self.leases)]
        self.ledger.store.suspect(lease.key, lease.attempt, lease.documents[0].seq)

    @precondition(lambda self: self.leases)
    @rule(number=st.integers(0, 100))
    def release(self, number: int) -> None:
        lease = self.leases.pop(number % len(self.leases))
        self.ledger.store.release(lease.key, lease.attempt)

    @precondition(lambda self: self.leases)
    @rule()
    def heartbeat(self) -> None:
        self.ledger.store.heartbeat(
            {lease.key: lease.attempt for lease in self.leases}, lease_seconds=_LEASE_SECONDS
        )

    @rule(seconds=st.sampled_from([1.0, 29.0, 31.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def sweep(self) -> None:
        self.ledger.store.sweep(max_crashes=3)

    @precondition(lambda self: self.jobs)
    @rule(number=st.integers(0, 100))
    def cancel(self, number: int) -> None:
        job_id = self.jobs[number % len(self.jobs)]
        try:
            self.cancelled_at[job_id] = self.ledger.store.cancel(job_id).counts.succeeded
        except IllegalTransition:
            return

    @precondition(lambda self: self.jobs)
    @rule(number=st.integers(0, 100))
    def retry(self, number: int) -> None:
        job_id = self.jobs[number % len(self.jobs)]
        try:
            self.ledger.store.retry(job_id)
        except IllegalTransition:
            return
        self.cancelled_at.pop(job_id, None)

    @precondition(lambda self: self.jobs)
    @rule(number=st.integers(0, 100))
    def delete(self, number: int) -> None:
        job_id = self.jobs[number % len(self.jobs)]
        try:
            self.ledger.store.delete(job_id)
        except IllegalTransition:
            return
        self.jobs.remove(job_id)
        self.cancelled_at.pop(job_id, None)

    @invariant()
    def the_books_balance(self) -> None:
        if not hasattr(self, "ledger"):
            return
        for job_id in self.jobs:
            job = self.ledger.store.get_job(job_id)
            rows = self.ledger.store.results(job_id)
            seqs = [row.seq for row in rows]
            assert seqs == sorted(set(seqs)), "two results for a document"
            counts = job.counts
            by_status = {status: sum(row.status == status for row in rows) for status in DocumentStatus}
            assert by_status[DocumentStatus.SUCCEEDED] == counts.succeeded
            assert by_status[DocumentStatus.FAILED] == counts.failed
            assert by_status[DocumentStatus.CANCELLED] == counts.cancelled
            assert by_status[DocumentStatus.EXPIRED] == counts.expired
            assert counts.queued + counts.running == counts.total - len(rows)
            assert job.status.is_final == (len(rows) == counts.total)

    @invariant()
    def nothing_succeeds_after_a_cancel(self) -> None:
        for job_id, succeeded in getattr(self, "cancelled_at", {}).items():
            job = self.ledger.store.get_job(job_id)
            assert job.status is JobStatus.CANCELLED
            assert job.counts.succeeded == succeeded

    @invariant()
    def a_slice_without_open_documents_is_not_leased(self) -> None:
        assert not [row for row in self.slices() if row.state == "leased" and row.num_open == 0]

    @invariant()
    def attempts_only_grow(self) -> None:
        """The fence stands on it: a number that came back would let in a late writer."""
        for row in self.slices():
            assert row.attempt >= self.attempts.get((row.job, row.number), 0)
            self.attempts[row.job, row.number] = row.attempt

    def slices(self) -> Sequence[Row[Any]]:
        if not hasattr(self, "database"):
            return []
        statement = text("SELECT job, number, state, num_open, attempt FROM slice")
        return self.database.read(lambda c: c.execute(statement).all())


@pytest.mark.timeout(1800)
def test_no_history_unbalances_the_books(database_url: str) -> None:
    machine = type("H", (Histories,), {"database_url": database_url})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=_HISTORIES,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
