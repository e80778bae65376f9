"""L4: a worker that is slow is not one that crashed, and no wait for the ledger outlives a lease."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from jobs.errors import StoreUnavailable
from jobs.records import LeaseState, WorkerBeat
from jobs.store.lapses import LedgerWatch
from tests.support.ledger import Clock, Ledger, crash, succeeded
from tests.support.waiting import PATIENCE_SECONDS, wait_until

SLACK_SECONDS = 8.0  #: for a slow machine; waits that know no lease take 30 s


def beat(ledger: Ledger, worker: str = "w") -> None:
    ledger.store.beat(
        WorkerBeat(worker_id=worker, device="cpu", models=("m",), warm_models=(), loop_age_seconds=0.0)
    )


def test_a_lapse_of_a_worker_that_lives_is_no_crash_of_its_documents(ledger: Ledger) -> None:
    """L4: eight slices of a worker that was kept out of the database ran again one document at a time."""
    beat(ledger)
    job = ledger.submit(8)
    key = ledger.keys(job)[0]
    for _ in range(12):  # more often than a slice may crash at all
        late = ledger.claimed(key)
        ledger.clock.advance(31)
        beat(ledger)
        assert ledger.store.sweep(max_crashes=3).released == 1
    lease = ledger.claimed(key)
    assert not lease.isolation
    assert lease.attempt == late.attempt + 1
    assert ledger.finish(lease).accepted == len(lease.documents)
    assert ledger.drain(job).counts.succeeded == 8


def test_a_lapse_of_a_worker_that_was_not_heard_since_is_a_crash(ledger: Ledger) -> None:
    beat(ledger)
    key = ledger.keys(ledger.submit(8))[0]
    ledger.claimed(key)
    ledger.clock.advance(20)
    beat(ledger)  # it lived ten seconds longer than its lease shows, and no more
    beat(ledger, "another")
    ledger.clock.advance(11)
    beat(ledger, "another")
    assert ledger.store.sweep(max_crashes=3).released == 1
    assert ledger.claimed(key).isolation


def test_a_worker_whose_next_sign_is_not_late_yet_is_waited_for(ledger: Ledger) -> None:
    """It lives, and only let go of this lease; the sweep came before its next sign."""
    job = ledger.submit(8)
    key = ledger.keys(job)[0]
    ledger.claimed(key)
    ledger.clock.advance(28)
    beat(ledger)
    ledger.clock.advance(3)
    assert ledger.store.sweep(max_crashes=3).released == 0
    beat(ledger)
    assert ledger.store.sweep(max_crashes=3).released == 1
    assert not ledger.claimed(key).isolation


def test_a_document_alone_is_not_blamed_when_its_worker_was_only_slow(ledger: Ledger) -> None:
    job = ledger.submit(1)
    (key,) = ledger.keys(job)
    ledger.claimed(key)
    crash(ledger)
    for _ in range(4):
        lease = ledger.claimed(key)
        ledger.store.suspect(key, lease.attempt, 0)
        ledger.clock.advance(31)
        beat(ledger)
        assert ledger.store.sweep(max_crashes=3).quarantined == 0
    lease = ledger.claimed(key)
    assert lease.isolation
    assert ledger.finish(lease).is_job_done


def test_workers_that_died_are_forgotten_in_the_end(ledger: Ledger) -> None:
    """L15's kind: every start left a row, and all were read for readiness and metrics."""
    beat(ledger, "dead")
    ledger.clock.advance(86_000)
    beat(ledger, "alive")
    ledger.store.sweep(max_crashes=3)
    assert len(ledger.store.workers(max_age_seconds=10**9)) == 2
    ledger.clock.advance(1_000)
    ledger.store.sweep(max_crashes=3)
    assert [each.worker_id for each in ledger.store.workers(max_age_seconds=10**9)] == ["alive"]


@contextmanager
def locked_out(ledger: Ledger) -> Iterator[None]:
    """Nobody else writes meanwhile."""
    with ledger.store._database.engine.connect() as connection:
        if not ledger.store._database.is_sqlite:
            connection.execute(text("LOCK TABLE slice, job IN EXCLUSIVE MODE"))
        else:
            connection.exec_driver_sql("SELECT 1")  # BEGIN IMMEDIATE came before it
        yield
        connection.rollback()


def test_a_worker_waits_for_the_ledger_no_longer_than_for_its_lease(ledger: Ledger) -> None:
    """L4: a wait of four times ten seconds outlived the lease that it was to defend."""
    key = ledger.keys(ledger.submit(4))[0]
    lease = ledger.claimed(key, lease_seconds=1.5)
    begun = time.monotonic()
    with locked_out(ledger):
        with pytest.raises(StoreUnavailable):
            ledger.store.heartbeat({key: lease.attempt}, lease_seconds=1.5)
        assert time.monotonic() - begun < 1.5 + SLACK_SECONDS
        with pytest.raises(StoreUnavailable):
            ledger.store.settle(key, lease.attempt, succeeded([0]))
    assert time.monotonic() - begun < 1.5 + SLACK_SECONDS
    assert ledger.store.heartbeat({key: lease.attempt}, lease_seconds=30) == {key: LeaseState.HELD}
    assert ledger.finish(lease).accepted == len(lease.documents)


class TestTheWatch:
    """When silence tells that a worker is dead: not while the ledger was shut to it."""

    def test_a_ledger_that_was_open_all_the_time_is_open_long_enough(self, ledger: Ledger) -> None:
        watch = LedgerWatch(ledger.store._database)
        assert watch.is_open_long_enough
        watch.look()
        assert watch.is_open_long_enough

    def test_after_a_pause_of_the_process_workers_get_time_to_be_heard(self, ledger: Ledger) -> None:
        clock = Clock()
        watch = LedgerWatch(ledger.store._database, clock)
        for seconds in (0, 5, 15):
            clock.advance(seconds)
            watch.look()
            assert watch.is_open_long_enough
        clock.advance(3600)  # the host slept
        watch.look()
        assert not watch.is_open_long_enough
        clock.advance(5)
        watch.look()
        assert watch.is_open_long_enough

    def test_a_wait_of_a_second_and_a_pause_of_twenty_are_not_long_yet(self, ledger: Ledger) -> None:
        now = iter([0.0, 1.0, 1.0, 21.0, 21.0, 21.0, 41.0, 42.5, 42.5, 46.5])
        watch = LedgerWatch(ledger.store._database, lambda: next(now))
        for _ in range(2):  # a look asks for the time twice, and who asks for its finding once more
            watch.look()
            assert watch.is_open_long_enough
        watch.look()  # had to wait for 1.5 s
        assert not watch.is_open_long_enough
        assert watch.is_open_long_enough

    def test_after_an_outage_workers_get_time_to_be_heard(self, ledger: Ledger) -> None:
        clock = Clock()
        watch = LedgerWatch(ledger.store._database, clock)
        watch.look()
        write = ledger.store._database.write

        def away(*_args: object, **_options: object) -> None:
            raise StoreUnavailable("away")

        ledger.store._database.write = away  # type: ignore[method-assign]
        with pytest.raises(StoreUnavailable):
            watch.look()
        ledger.store._database.write = write  # type: ignore[method-assign]
        clock.advance(1)
        watch.look()
        assert not watch.is_open_long_enough
        clock.advance(5)
        assert watch.is_open_long_enough

    def test_a_sweep_that_had_to_wait_takes_nobodys_silence_for_death(self, ledger: Ledger) -> None:
        if not ledger.store._database.is_sqlite:
            pytest.skip("PostgreSQL has no lock that keeps every writer out")
        beat(ledger)
        key = ledger.keys(ledger.submit(4))[0]
        ledger.claimed(key)
        ledger.clock.advance(31)
        reports = []
        sweeping = threading.Thread(target=lambda: reports.append(ledger.store.sweep(max_crashes=3)))
        with locked_out(ledger):
            sweeping.start()
            wait_until(lambda: ledger.store._database._turns._writer, what="it looks for the lock")
            sweeping.join(1.5)
        sweeping.join(PATIENCE_SECONDS)
        assert reports[0].released == 0
        beat(ledger)  # now it is heard
        assert ledger.store.sweep(max_crashes=3).released == 1
        assert not ledger.claimed(key).isolation
