"""What goes on over all jobs, on every database: counted from the outcomes that were written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from jobs.records import DocumentStatus, Job, Lease, NewJob, Outcome, Priority
from jobs.store import activity
from jobs.store.ledger_view import LedgerView
from tests.support.ledger import Ledger, documents

HOUR_AGO = timedelta(hours=-1)


@pytest.fixture
def view(ledger: Ledger) -> LedgerView:
    return LedgerView(ledger.store.database)


def since(delta: timedelta = HOUR_AGO) -> datetime:
    return datetime.now(UTC) + delta


def settle(ledger: Ledger, job: Job, *, failing: dict[int, str], leaving: int = 0) -> None:
    """Outcomes for all but the last documents; one token is read for each."""

    def work(lease: Lease) -> None:
        done = [
            Outcome(
                seq=d.seq, status=DocumentStatus.FAILED if d.seq in failing else DocumentStatus.SUCCEEDED,
                error_code=failing.get(d.seq), error_message="m" if d.seq in failing else None,
                output=None if d.seq in failing else {}, input_tokens=1,
            )
            for d in lease.documents
            if d.seq < job.counts.total - leaving
        ]  # fmt: skip
        ledger.store.settle(lease.key, lease.attempt, done)
        if leaving:
            ledger.store.release(lease.key, lease.attempt)

    for ticket in ledger.store.take_window(job_id=job.id, window=100, resend_after_seconds=0.0):
        lease = ledger.store.claim(ticket.key, worker_id="w", lease_seconds=60)
        assert lease is not None
        work(lease)


def test_progress_is_of_jobs_that_run_or_ended_lately(ledger: Ledger, view: LedgerView) -> None:
    done, half, waits = (ledger.submit(4, owner=owner) for owner in ("a", "b", "b"))
    settle(ledger, done, failing={1: "x"})
    settle(ledger, half, failing={}, leaving=3)
    ledger.store.cancel(ledger.submit(4).id)
    told = {each.job_id: (each.owner, each.documents, each.tokens) for each in view.progress(since=since())}
    expected = {done.id: ("a", 4, 4), half.id: ("b", 1, 1), waits.id: ("b", 0, 0)}
    assert expected.items() <= told.items()
    later = {each.job_id for each in view.progress(since=since(timedelta(hours=1)))}
    assert later == {half.id, waits.id}


def test_what_a_retry_keeps_was_computed_before(ledger: Ledger, view: LedgerView) -> None:
    """A job of yesterday that was retried drew all its successes into one step of the chart."""
    job = ledger.submit(4)
    settle(ledger, job, failing={1: "x"})
    ledger.store.retry(job.id)
    (told,) = view.progress(since=since(timedelta(hours=1)))
    assert (told.documents, told.tokens) == (0, 0)
    settle(ledger, job, failing={})
    (told,) = view.progress(since=since())
    assert (told.documents, told.tokens) == (1, 1)


def test_the_queue_is_what_is_open_by_model_and_priority(ledger: Ledger, view: LedgerView) -> None:
    half = ledger.submit(5, model="m")
    settle(ledger, half, failing={}, leaving=2)
    ledger.submit(3, model="m", priority=Priority.INTERACTIVE)
    ledger.store.submit(NewJob(owner="b"), documents(7, model="n"))
    settle(ledger, ledger.submit(4, model="m"), failing={0: "x"})
    ledger.store.cancel(ledger.submit(9, model="m").id)

    def told(owner: str | None) -> list[tuple[Priority, str, int, int]]:
        return [(line.priority, line.model, line.documents, line.jobs) for line in view.queue(owner=owner)]

    own = [(Priority.INTERACTIVE, "m", 3, 1), (Priority.BULK, "m", 2, 1)]
    assert told("") == own
    assert told("b") == [(Priority.BULK, "n", 7, 1)]
    assert told(None) == [*own, (Priority.BULK, "n", 7, 1)]
    assert abs((view.queue(owner="b")[0].oldest_at - datetime.now(UTC)).total_seconds()) < 600


def test_failures_are_of_the_newest_jobs_by_reason(
    ledger: Ledger, view: LedgerView, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = ledger.submit(5), ledger.submit(3)
    settle(ledger, first, failing={0: "x", 1: "y", 2: "x"})
    settle(ledger, second, failing={2: "x"})
    settle(ledger, ledger.submit(2, owner="b"), failing={0: "z"})
    found = view.recent_failures(owner="", since=since())
    assert [(each.code, each.count, each.jobs) for each in found.reasons] == [
        ("x", 3, (second.id, first.id)), ("y", 1, (first.id,)),
    ]  # fmt: skip
    assert found.is_whole
    assert view.recent_failures(owner="", since=since(timedelta(hours=1))).reasons == ()
    assert {each.code for each in view.recent_failures(owner=None, since=since()).reasons} == {"x", "y", "z"}
    monkeypatch.setattr(activity, "MOST_FAILURES", 2)
    bounded = view.recent_failures(owner="", since=since())
    assert sum(each.count for each in bounded.reasons) == 2
    assert not bounded.is_whole


def test_what_workers_hold_and_how_large_the_database_is(ledger: Ledger, view: LedgerView) -> None:
    job = ledger.submit(6, owner="a")
    tickets = ledger.store.take_window(job_id=job.id, window=100, resend_after_seconds=0.0)
    for ticket in tickets:
        ledger.store.claim(ticket.key, worker_id="w", lease_seconds=60)
    told = view.held(owner="a")
    assert {(each.worker_id, each.job_id) for each in told} == {("w", job.id)}
    assert sum(each.documents for each in told) == 6
    assert view.held(owner="b") == []
    assert len(view.held(owner=None)) == len(told)
    assert view.database_bytes() > 10_000
