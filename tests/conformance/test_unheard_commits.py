"""A COMMIT went through and nobody heard of it: the verb runs again, and knows its own work."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jobs.errors import IllegalTransition, JobNotFound
from jobs.records import JobStatus
from jobs.store.sql import SqlStore
from tests.support.block_sizes import DeafDatabase
from tests.support.ledger import Clock, Ledger, succeeded


@pytest.fixture
def deaf(ledger: Ledger, database_url: str) -> Iterator[Ledger]:
    """A store on the same database as `ledger`, through a connection that hears nothing."""
    clock = Clock()
    store = SqlStore(DeafDatabase(database_url, clock_offset=clock), slice_tokens=10_000, slice_documents=4)
    yield Ledger(store, clock)
    store.close()


def test_a_claim_has_its_lease(ledger: Ledger, deaf: Ledger) -> None:
    """L12: the claim returned None though the slice was its own, and lapsed as a crash."""
    (key, *_) = ledger.keys(ledger.submit(3))
    lease = deaf.claimed(key)
    assert lease.attempt == 1
    assert [d.seq for d in lease.documents] == [0]
    assert ledger.claim(key) is None
    assert ledger.finish(lease).accepted == len(lease.documents)


def test_a_claim_never_takes_what_another_worker_got(ledger: Ledger, deaf: Ledger) -> None:
    (key, *_) = ledger.keys(ledger.submit(3))
    ledger.claimed(key, worker="other")
    assert deaf.claim(key) is None


def test_a_release_says_that_the_slice_was_its_own(ledger: Ledger, deaf: Ledger) -> None:
    (key, *_) = ledger.keys(ledger.submit(3))
    lease = ledger.claimed(key)
    assert deaf.store.release(key, lease.attempt)
    assert not deaf.store.release(key, lease.attempt)


def test_a_retry_reopens_once(ledger: Ledger, deaf: Ledger) -> None:
    """L12: "only a finished job can be retried", said of a job it had just reopened."""
    job = ledger.submit(5)
    ledger.store.cancel(job.id)
    deaf.store.retry(job.id)
    assert ledger.store.get_job(job.id).status is JobStatus.QUEUED
    with pytest.raises(IllegalTransition):
        deaf.store.retry(job.id)
    assert ledger.drain(job).counts.succeeded == 5


def test_a_deletion_is_done(ledger: Ledger, deaf: Ledger) -> None:
    """L12: "there is no job", said of a job it had just deleted."""
    job = ledger.submit(2)
    ledger.drain(job)
    deaf.store.delete(job.id)
    with pytest.raises(JobNotFound):
        deaf.store.delete(job.id)


def test_a_window_is_sent(ledger: Ledger, deaf: Ledger) -> None:
    """Its slices were marked as sent, and handed out to nobody until they were taken for lost."""
    job = ledger.submit(40)
    take = lambda: deaf.store.take_window(job_id=job.id, window=3, resend_after_seconds=60)  # noqa: E731
    tickets = take()
    assert len({ticket.key for ticket in tickets}) == len(tickets) == 3
    assert take() == []


def test_cancel_settle_and_heartbeat_are_the_same_twice(ledger: Ledger, deaf: Ledger) -> None:
    job, other = ledger.submit(4), ledger.submit(4)
    key = ledger.keys(job)[0]
    lease = ledger.claimed(key)
    assert deaf.store.heartbeat({key: lease.attempt}, lease_seconds=30)[key] == "held"
    settled = deaf.store.settle(key, lease.attempt, succeeded(d.seq for d in lease.documents))
    assert settled.is_slice_done
    deaf.store.cancel(other.id)
    assert ledger.store.get_job(other.id).counts.cancelled == 4
    assert ledger.drain(job).counts.succeeded == 4
