"""Which document killed its process: found in ever smaller company, and nobody else is blamed (decision 19)."""

from __future__ import annotations

from collections.abc import Iterable, Set

import pytest

from jobs.isolation import WHOLE_SLICE, Isolation
from jobs.records import DocumentStatus, Job, JobStatus, Lease, SliceKey
from tests.support.ledger import Ledger, crash, crash_on, succeeded


def slices_of(ledger: Ledger, job: Job, *, least: int = 4) -> list[SliceKey]:
    """Those of several documents."""
    keys = []
    for key in ledger.keys(job):
        lease = ledger.claimed(key)
        if len(lease.documents) >= least:
            keys.append(key)
        ledger.store.release(key, lease.attempt)
    assert keys
    return keys


def trials(lease: Lease) -> list[tuple[int | None, list[int]]]:
    """What a worker has on the device at a time, and what it tells the ledger of it."""
    seqs = [document.seq for document in lease.documents]
    if lease.isolation is Isolation.NONE:
        return [(None, seqs)]
    return [(WHOLE_SLICE, seqs)] if lease.isolation is Isolation.SLICE else [(seq, [seq]) for seq in seqs]


def survives(ledger: Ledger, lease: Lease, poison: Set[int]) -> bool:
    """Runs a slice as a worker does; False when a document killed the process."""
    for name, seqs in trials(lease):
        if name is not None:
            assert ledger.store.suspect(lease.key, lease.attempt, name)
        if poison & set(seqs):
            return False
        ledger.store.settle(lease.key, lease.attempt, succeeded(seqs))
    return True


def count_crashes(ledger: Ledger, keys: Iterable[SliceKey], poison: Set[int]) -> int:
    """Has one worker run the slices, one after the other, until all are done."""
    num_crashes, waiting = 0, list(keys)
    while waiting:
        lease = ledger.claim(waiting[0])
        if lease is None or survives(ledger, lease, poison):
            waiting.pop(0)
            continue
        num_crashes += 1
        crash(ledger)
    return num_crashes


def blamed(ledger: Ledger, job: Job) -> dict[int, str | None]:
    rows = ledger.store.results(job.id)
    return {row.seq: row.error_code for row in rows if row.status is DocumentStatus.FAILED}


def test_a_document_that_kills_its_process_is_found_in_three_crashes(ledger: Ledger) -> None:
    """One in company, one with its slice, one by itself."""
    job = ledger.submit(40)
    key = slices_of(ledger, job)[-1]
    poison = ledger.claimed(key).documents[1].seq
    crash(ledger)
    seen = []
    while (lease := ledger.claim(key)) is not None:
        seen.append(lease.isolation)
        assert not survives(ledger, lease, {poison})
        report = crash(ledger)
        if report.quarantined:
            break
    assert seen == [Isolation.SLICE, Isolation.DOCUMENT]
    assert ledger.drain(job).counts.succeeded == 39
    assert blamed(ledger, job) == {poison: "quarantined"}


@pytest.mark.parametrize("num_poison", [1, 2, 4])
def test_poison_costs_a_crash_a_document_and_two_a_slice(ledger: Ledger, num_poison: int) -> None:
    job = ledger.submit(40)
    key = slices_of(ledger, job)[-1]
    lease = ledger.claimed(key)
    poison = {document.seq for document in lease.documents[:num_poison]}
    ledger.store.release(key, lease.attempt)
    assert count_crashes(ledger, [key], poison) == 2 + num_poison
    assert ledger.drain(job).counts.succeeded == 40 - num_poison
    assert blamed(ledger, job) == dict.fromkeys(sorted(poison), "quarantined")


def test_a_document_that_is_a_slice_of_its_own_is_found_in_three_crashes_too(ledger: Ledger) -> None:
    job = ledger.submit(1)
    assert count_crashes(ledger, ledger.keys(job), {0}) == 3
    assert blamed(ledger, job) == {0: "quarantined"}


def test_slices_that_were_only_in_company_of_poison_run_together_and_are_done(ledger: Ledger) -> None:
    """All that were in flight ran document by document, alone on the device, for minutes."""
    job = ledger.submit(80)
    keys = slices_of(ledger, job)
    for key in keys:
        ledger.claimed(key)
    crash(ledger)
    for key in keys:
        lease = ledger.claimed(key)
        assert [name for name, _ in trials(lease)] == [WHOLE_SLICE]
        assert survives(ledger, lease, set())
    assert ledger.drain(job).counts.succeeded == 80


@pytest.mark.parametrize("name", [WHOLE_SLICE, 0])
def test_a_slice_that_stood_in_line_is_not_blamed_for_who_had_the_device_alone(
    ledger: Ledger, name: int
) -> None:
    """Slices that never came on the device failed as `worker_lost` when others had killed nine workers."""
    job = ledger.submit(8)
    in_line = ledger.keys(job)[0]
    for _ in range(10):
        ledger.claimed(in_line)
        (guilty,) = ledger.keys(ledger.submit(1))
        crash_on(ledger, guilty, name)
        assert ledger.claimed(guilty).isolation is not Isolation.NONE
    lease = ledger.claimed(in_line)
    assert lease.isolation is Isolation.NONE
    assert ledger.finish(lease).accepted == len(lease.documents)


def test_it_is_not_blamed_either_when_its_lease_ends_later(ledger: Ledger) -> None:
    """It was claimed after the last heartbeat; who had the device alone is kept in mind until then."""
    (guilty,), (in_line,) = ledger.keys(ledger.submit(1)), ledger.keys(ledger.submit(1))
    lease = ledger.claimed(guilty)
    ledger.store.suspect(guilty, lease.attempt, 0)
    ledger.clock.advance(9)
    ledger.claimed(in_line)
    ledger.clock.advance(22)
    assert ledger.store.sweep(max_crashes=3).released == 0
    ledger.clock.advance(9)
    assert ledger.store.sweep(max_crashes=3).released == 2
    assert ledger.claimed(in_line).isolation is Isolation.NONE
    assert ledger.claimed(guilty).isolation is Isolation.DOCUMENT


def test_what_another_worker_had_alone_says_nothing_of_this_ones_crash(ledger: Ledger) -> None:
    (alone,), (key,) = ledger.keys(ledger.submit(1)), ledger.keys(ledger.submit(1))
    lease = ledger.claimed(alone, worker="another", lease_seconds=1_000)
    ledger.store.suspect(alone, lease.attempt, 0)
    ledger.claimed(key)
    crash(ledger)
    assert ledger.claimed(key).isolation is not Isolation.NONE


def test_a_cancelled_slice_keeps_nobody_from_being_blamed(ledger: Ledger) -> None:
    cancelled, job = ledger.submit(1), ledger.submit(1)
    (key,) = ledger.keys(job)
    ledger.claimed(ledger.keys(cancelled)[0])
    lease = ledger.claimed(key)
    ledger.store.suspect(key, lease.attempt, 0)
    ledger.store.cancel(cancelled.id)
    assert crash(ledger).released == 1
    assert ledger.claimed(key).isolation is Isolation.DOCUMENT


def test_what_is_settled_before_the_slice_kills_its_process_is_under_no_suspicion(ledger: Ledger) -> None:
    job = ledger.submit(40)
    key = slices_of(ledger, job)[-1]
    ledger.claimed(key)
    crash(ledger)
    lease = ledger.claimed(key)
    seqs = [document.seq for document in lease.documents]
    assert ledger.store.suspect(key, lease.attempt, WHOLE_SLICE)
    ledger.store.settle(key, lease.attempt, succeeded(seqs[:2]))
    crash(ledger)  # the rest is still named
    lease = ledger.claimed(key)
    assert lease.isolation is Isolation.DOCUMENT
    assert [document.seq for document in lease.documents] == seqs[2:]


def test_a_document_that_is_settled_is_not_blamed_for_what_dies_after_it(ledger: Ledger) -> None:
    job = ledger.submit(40)
    key = slices_of(ledger, job)[-1]
    ledger.claimed(key)
    crash(ledger)
    crash_on(ledger, key)
    lease = ledger.claimed(key)
    for document in lease.documents[:2]:
        ledger.store.suspect(key, lease.attempt, document.seq)
        ledger.store.settle(key, lease.attempt, succeeded([document.seq]))
    assert crash(ledger).quarantined == 0
    assert ledger.drain(job).counts.succeeded == 40


def test_a_retry_begins_in_company_again(ledger: Ledger) -> None:
    job = ledger.submit(1)
    (key,) = ledger.keys(job)
    count_crashes(ledger, [key], {0})
    ledger.store.retry(job.id)
    assert ledger.keys(job) == [key]
    assert count_crashes(ledger, [key], {0}) == 3


def test_a_slice_whose_workers_always_vanish_ends_too(ledger: Ledger) -> None:
    job = ledger.submit(1)
    (key,) = ledger.keys(job)
    for _ in range(9):
        ledger.claimed(key)
        crash(ledger)
    final = ledger.store.get_job(job.id)
    assert (final.status, final.counts.failed) == (JobStatus.FAILED, 1)
    assert ledger.store.results(job.id)[0].error_code == "worker_lost"
