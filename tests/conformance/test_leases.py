"""What workers do with slices: claim, heartbeat, settle, release, crash."""

from __future__ import annotations

import threading

import pytest

from jobs.errors import (
    IllegalTransition,
    LeaseLost,
)
from jobs.records import (
    DocumentStatus,
    LeaseState,
    Priority,
    SliceKey,
    WorkerBeat,
)
from tests.support.ledger import Ledger, in_threads, succeeded


def test_a_slice_is_claimed_by_one_of_many(ledger: Ledger) -> None:
    job = ledger.submit(4)
    key = ledger.keys(job)[0]
    won: list[object] = []
    barrier = threading.Barrier(4)

    def claim() -> None:
        barrier.wait()
        won.append(ledger.claim(key))

    in_threads(claim, 4)
    assert sum(lease is not None for lease in won) == 1


def test_claiming_the_unknown_the_done_and_the_leased_gives_nothing(ledger: Ledger) -> None:
    job = ledger.submit(1)
    (key,) = ledger.keys(job)
    assert ledger.claim(SliceKey(job_id="job_x", number=0)) is None
    assert ledger.claim(SliceKey(job_id=job.id, number=99)) is None
    lease = ledger.claimed(key)
    assert ledger.claim(key) is None
    ledger.finish(lease)
    assert ledger.claim(key) is None


def test_a_late_settlement_is_fenced_off(ledger: Ledger) -> None:
    job = ledger.submit(4)
    (key, *_) = ledger.keys(job)
    zombie = ledger.claimed(key, lease_seconds=30)
    ledger.clock.advance(31)
    assert ledger.store.sweep(max_crashes=3).released == 1
    heir = ledger.claimed(key)
    assert heir.attempt == zombie.attempt + 1
    with pytest.raises(LeaseLost):
        ledger.finish(zombie)
    assert ledger.store.results(job.id) == []
    ledger.finish(heir)
    with pytest.raises(LeaseLost):
        ledger.finish(zombie)
    assert ledger.drain(job).counts.succeeded == 4


def test_settling_again_after_an_unknown_commit_changes_nothing(ledger: Ledger) -> None:
    job = ledger.submit(2)
    lease = ledger.claimed(ledger.keys(job)[0])
    first = ledger.finish(lease)
    again = ledger.finish(lease)
    assert first.accepted == len(lease.documents)
    assert (again.accepted, again.is_slice_done) == (0, True)
    assert ledger.drain(job).counts.succeeded == 2


def test_outcomes_of_other_documents_are_no_repetition_of_a_finished_slice(ledger: Ledger) -> None:
    job = ledger.submit(4)
    lease = ledger.claimed(ledger.keys(job)[0])
    ledger.finish(lease)
    with pytest.raises(LeaseLost):
        ledger.store.settle(lease.key, lease.attempt, succeeded([lease.documents[-1].seq + 1]))


def test_outcomes_of_documents_outside_the_slice_are_refused(ledger: Ledger) -> None:
    job = ledger.submit(10)
    lease = ledger.claimed(ledger.keys(job)[0])
    settled = ledger.store.settle(lease.key, lease.attempt, succeeded([9, 4711]))
    assert (settled.accepted, settled.refused) == (0, 2)


def test_a_heartbeat_keeps_a_lease_alive_and_tells_when_it_is_lost(ledger: Ledger) -> None:
    job = ledger.submit(8)
    kept, lost = (ledger.claimed(key, lease_seconds=30) for key in ledger.keys(job)[:2])
    ledger.clock.advance(20)
    answer = ledger.store.heartbeat({kept.key: kept.attempt}, lease_seconds=30)
    assert answer == {kept.key: LeaseState.HELD}
    ledger.clock.advance(20)
    assert ledger.store.sweep(max_crashes=3).released == 1
    answer = ledger.store.heartbeat({kept.key: kept.attempt, lost.key: lost.attempt}, lease_seconds=30)
    assert answer == {kept.key: LeaseState.HELD, lost.key: LeaseState.LOST}


def test_only_unsettled_documents_are_leased_again(ledger: Ledger) -> None:
    job = ledger.submit(40)
    key = ledger.keys(job)[-1]
    lease = ledger.claimed(key)
    assert len(lease.documents) > 1
    ledger.store.settle(key, lease.attempt, succeeded([lease.documents[0].seq]))
    assert ledger.store.release(key, lease.attempt)
    assert [d.seq for d in ledger.claimed(key).documents] == [d.seq for d in lease.documents[1:]]


def test_a_released_slice_waits_for_its_delay_and_counts_nocrash(ledger: Ledger) -> None:
    job = ledger.submit(1)
    (key,) = ledger.keys(job)
    lease = ledger.claimed(key)
    ledger.store.release(key, lease.attempt, delay_seconds=60)
    assert ledger.claim(key) is None
    assert ledger.keys(job) == []
    ledger.clock.advance(61)
    assert ledger.keys(job) == [key]
    assert not ledger.claimed(key).isolation


def test_the_window_limits_what_a_job_has_in_flight(ledger: Ledger) -> None:
    job = ledger.submit(40)
    take = lambda: ledger.store.take_window(job_id=job.id, window=3, resend_after_seconds=60)  # noqa: E731
    first = take()
    assert len(first) == 3
    assert take() == []
    ledger.finish(ledger.claimed(first[0].key))
    assert len(take()) == 1


def test_jobs_whose_window_is_full_keep_nobody_from_being_fed(ledger: Ledger) -> None:
    """L14: beyond 200 jobs with work, a sweep looked at the same first 200 for ever."""
    jobs = {ledger.submit(10).id for _ in range(203)}
    take = lambda: ledger.store.take_window(window=1, resend_after_seconds=60)  # noqa: E731
    fed = [ticket.key.job_id for ticket in (*take(), *take())]
    assert len(fed) == 203
    assert set(fed) == jobs
    assert take() == []


def test_a_sent_slice_that_nobody_claims_is_sent_again(ledger: Ledger) -> None:
    job = ledger.submit(1)
    take = lambda: ledger.store.take_window(window=3, resend_after_seconds=60)  # noqa: E731
    (ticket,) = take()
    assert (ticket.num_documents, ticket.priority) == (1, Priority.BULK)
    assert take() == []
    ledger.clock.advance(61)
    assert [t.key for t in take()] == [ticket.key]
    ledger.store.unsend([ticket.key])
    assert [t.key for t in take()] == [ticket.key]
    assert job.id == ticket.key.job_id


def test_workers_are_seen_while_they_give_signs_of_life(ledger: Ledger) -> None:
    beat = WorkerBeat(
        worker_id="w1", device="cpu", models=("m",), warm_models=(), loop_age_seconds=0.5, details={"a": 1}
    )
    ledger.store.beat(beat)
    ledger.store.beat(beat)
    (seen,) = ledger.store.workers(max_age_seconds=10)
    assert (seen.worker_id, seen.models, seen.details) == ("w1", ("m",), {"a": 1})
    ledger.clock.advance(11)
    assert ledger.store.workers(max_age_seconds=10) == []
    ledger.store.forget_worker("w1")
    assert ledger.store.workers(max_age_seconds=100) == []


def test_the_backlog_counts_what_waits_and_what_runs(ledger: Ledger) -> None:
    job = ledger.submit(10)
    keys = ledger.keys(job)
    ledger.claimed(keys[0])
    ledger.clock.advance(5)
    ledger.submit(1)
    backlog = ledger.store.backlog()
    assert backlog["leased_slices"] == 1
    assert backlog["waiting_slices"] == len(keys)
    assert backlog["open_documents"] == 11


def test_cancel_and_settle_at_the_same_moment_leave_counters_equal_to_rows(ledger: Ledger) -> None:
    for _ in range(5):
        job = ledger.submit(16)
        leases = [ledger.claimed(key) for key in ledger.keys(job)]
        barrier = threading.Barrier(2)

        def settle(leases=leases, barrier=barrier) -> None:  # type: ignore[no-untyped-def]
            barrier.wait()
            for lease in leases:
                try:
                    ledger.finish(lease)
                except LeaseLost:
                    return

        def cancel(job=job, barrier=barrier) -> None:  # type: ignore[no-untyped-def]
            barrier.wait()
            try:
                ledger.store.cancel(job.id)
            except IllegalTransition:
                return  # it had finished before

        threads = [threading.Thread(target=settle), threading.Thread(target=cancel)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        final = ledger.store.get_job(job.id)
        rows = ledger.store.results(job.id)
        assert final.status.is_final
        assert len(rows) == 16
        assert final.counts.succeeded == sum(r.status is DocumentStatus.SUCCEEDED for r in rows)
