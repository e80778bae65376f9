from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from jobs.errors import (
    EmptySubmission,
    IdempotencyKeyReused,
    IllegalTransition,
    JobNotFound,
    LeaseLost,
    StoreUnavailable,
)
from jobs.records import (
    DocumentStatus,
    JobStatus,
    LeaseState,
    NewJob,
    Outcome,
    Priority,
    SliceKey,
    WorkerBeat,
)
from jobs.store.database import Database
from jobs.store.migrate import migrate
from jobs.store.sql import SqlStore
from jobs.store.tables import Base
from tests.support.ledger import Ledger, documents, succeeded


def test_a_job_goes_from_queued_over_running_to_completed(ledger: Ledger) -> None:
    job = ledger.submit(10)
    assert job.status is JobStatus.QUEUED
    assert job.counts.queued == 10
    lease = ledger.claimed(ledger.keys(job)[0])
    running = ledger.store.get_job(job.id)
    assert running.status is JobStatus.RUNNING
    assert running.counts.running == len(lease.documents)
    ledger.finish(lease)
    done = ledger.drain(job)
    assert done.status is JobStatus.COMPLETED
    assert done.counts.succeeded == 10
    assert (done.input_tokens, done.output_tokens) == (30, 10)
    assert done.finished_at is not None


def test_every_document_yields_one_result_in_input_order(ledger: Ledger) -> None:
    job = ledger.submit(25)
    ledger.drain(job)
    rows = ledger.store.results(job.id)
    assert [row.seq for row in rows] == list(range(25))
    assert [row.custom_id for row in rows] == [f"row-{i}" for i in range(25)]
    assert all(row.output == {"n": row.seq} for row in rows)
    assert [row.seq for row in ledger.store.results(job.id, after=20, limit=3)] == [21, 22, 23]


def test_partial_results_are_readable_while_the_job_runs(ledger: Ledger) -> None:
    job = ledger.submit(8)
    lease = ledger.claimed(ledger.keys(job)[0])
    ledger.store.settle(lease.key, lease.attempt, succeeded([lease.documents[0].seq]))
    assert [row.seq for row in ledger.store.results(job.id)] == [0]


def test_nothing_is_stored_when_the_documents_break_off(ledger: Ledger) -> None:
    def broken():  # type: ignore[no-untyped-def]
        yield from documents(3)
        raise ValueError("the upload broke off")

    with pytest.raises(ValueError, match="broke off"):
        ledger.store.submit(NewJob(), broken())
    assert ledger.store.list_jobs() == ([], None)


def test_an_empty_submission_is_refused_and_leaves_nothing(ledger: Ledger) -> None:
    with pytest.raises(EmptySubmission):
        ledger.store.submit(NewJob(), [])
    assert ledger.store.list_jobs() == ([], None)


def test_an_idempotency_key_replays_the_same_request_and_refuses_another(ledger: Ledger) -> None:
    first, is_new = ledger.store.submit(NewJob(idempotency_key="k", request_sha256="a"), documents(2))
    again, is_new_again = ledger.store.submit(NewJob(idempotency_key="k", request_sha256="a"), documents(2))
    assert (is_new, is_new_again) == (True, False)
    assert first.id == again.id
    with pytest.raises(IdempotencyKeyReused):
        ledger.store.submit(NewJob(idempotency_key="k", request_sha256="b"), documents(2))
    other, _ = ledger.store.submit(NewJob(owner="o", idempotency_key="k", request_sha256="b"), documents(2))
    assert other.id != first.id


def test_equal_submissions_at_the_same_moment_make_one_job(ledger: Ledger) -> None:
    barrier = threading.Barrier(4)
    ids: list[str] = []

    def submit() -> None:
        barrier.wait()
        ids.append(ledger.store.submit(NewJob(idempotency_key="k", request_sha256="a"), documents(50))[0].id)

    _in_threads(submit, 4)
    assert len(ids) == 4
    assert len(set(ids)) == 1
    assert len(ledger.store.list_jobs()[0]) == 1


def test_a_slice_is_claimed_by_one_of_many(ledger: Ledger) -> None:
    job = ledger.submit(4)
    key = ledger.keys(job)[0]
    won: list[object] = []
    barrier = threading.Barrier(4)

    def claim() -> None:
        barrier.wait()
        won.append(ledger.claim(key))

    _in_threads(claim, 4)
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


def test_a_released_slice_waits_for_its_delay_and_counts_no_crash(ledger: Ledger) -> None:
    job = ledger.submit(1)
    (key,) = ledger.keys(job)
    lease = ledger.claimed(key)
    ledger.store.release(key, lease.attempt, delay_seconds=60)
    assert ledger.claim(key) is None
    assert ledger.keys(job) == []
    ledger.clock.advance(61)
    assert ledger.keys(job) == [key]
    assert not ledger.claimed(key).isolate


def test_the_window_limits_what_a_job_has_in_flight(ledger: Ledger) -> None:
    job = ledger.submit(40)
    take = lambda: ledger.store.take_window(job_id=job.id, window=3, resend_after_seconds=60)  # noqa: E731
    first = take()
    assert len(first) == 3
    assert take() == []
    ledger.finish(ledger.claimed(first[0].key))
    assert len(take()) == 1


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


def test_after_a_cancel_nothing_is_accepted_and_every_document_has_a_result(ledger: Ledger) -> None:
    job = ledger.submit(12)
    done, held, *_ = (ledger.claimed(key) for key in ledger.keys(job)[:2])
    ledger.finish(done)
    cancelled = ledger.store.cancel(job.id)
    assert cancelled.status is JobStatus.CANCELLED
    with pytest.raises(LeaseLost):
        ledger.finish(held)
    assert (
        ledger.store.heartbeat({held.key: held.attempt}, lease_seconds=30)[held.key] is LeaseState.CANCELLED
    )
    rows = ledger.store.results(job.id)
    assert len(rows) == 12
    assert {row.status for row in rows} == {DocumentStatus.SUCCEEDED, DocumentStatus.CANCELLED}
    assert cancelled.counts.succeeded + cancelled.counts.cancelled == 12
    assert ledger.store.cancel(job.id).status is JobStatus.CANCELLED


def test_a_finished_job_cannot_be_cancelled(ledger: Ledger) -> None:
    job = ledger.submit(1)
    ledger.drain(job)
    with pytest.raises(IllegalTransition):
        ledger.store.cancel(job.id)


def test_a_cancel_of_very_many_documents_is_finished_by_the_sweep(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("jobs.store.control.FILL_AT_ONCE", 4)
    job = ledger.submit(10)
    assert ledger.store.cancel(job.id).status is JobStatus.CANCELLING
    for _ in range(3):
        ledger.store.sweep(max_crashes=3)
    final = ledger.store.get_job(job.id)
    assert (final.status, final.counts.cancelled) == (JobStatus.CANCELLED, 10)


def test_retry_runs_only_what_did_not_succeed(ledger: Ledger) -> None:
    job = ledger.submit(3)

    def fail_the_first(lease):  # type: ignore[no-untyped-def]
        outcomes = succeeded(d.seq for d in lease.documents)
        if lease.documents[0].seq == 0:
            outcomes[0] = Outcome(seq=0, status=DocumentStatus.FAILED, error_code="x", error_message="y")
        ledger.store.settle(lease.key, lease.attempt, outcomes)

    assert ledger.drain(job, fail_the_first).counts.failed == 1
    reopened = ledger.store.retry(job.id)
    assert (reopened.status, reopened.counts.queued, reopened.counts.failed) == (JobStatus.QUEUED, 1, 0)
    final = ledger.drain(job)
    assert (final.status, final.counts.succeeded) == (JobStatus.COMPLETED, 3)
    with pytest.raises(IllegalTransition, match="nothing to retry"):
        ledger.store.retry(job.id)


def test_a_running_job_can_be_neither_retried_nor_deleted(ledger: Ledger) -> None:
    job = ledger.submit(1)
    with pytest.raises(IllegalTransition):
        ledger.store.retry(job.id)
    with pytest.raises(IllegalTransition):
        ledger.store.delete(job.id)


def test_delete_removes_the_job_and_its_rows(ledger: Ledger) -> None:
    job = ledger.submit(3)
    ledger.drain(job)
    ledger.store.delete(job.id)
    with pytest.raises(JobNotFound):
        ledger.store.get_job(job.id)
    with pytest.raises(JobNotFound):
        ledger.store.results(job.id)


def test_a_foreign_job_is_as_unknown_as_a_missing_one(ledger: Ledger) -> None:
    job = ledger.submit(1, owner="ada")
    for call in (ledger.store.get_job, ledger.store.cancel, ledger.store.retry, ledger.store.delete):
        with pytest.raises(JobNotFound):
            call(job.id, owner="bob")
    assert ledger.store.list_jobs(owner="bob") == ([], None)


def test_jobs_are_listed_newest_first_by_cursor(ledger: Ledger) -> None:
    ids = [ledger.submit(1).id for _ in range(5)]
    page, cursor = ledger.store.list_jobs(limit=2)
    rest, end = ledger.store.list_jobs(limit=10, after=cursor)
    assert [job.id for job in page + rest] == ids[::-1]
    assert end is None
    assert ledger.store.list_jobs(status=JobStatus.COMPLETED) == ([], None)


def test_a_job_past_its_time_expires_and_late_work_is_refused(ledger: Ledger) -> None:
    job = ledger.submit(10, expires_at=datetime.now(UTC) + timedelta(seconds=60))
    first, held = (ledger.claimed(key, lease_seconds=600) for key in ledger.keys(job)[:2])
    ledger.finish(first)
    ledger.clock.advance(120)
    assert ledger.store.sweep(max_crashes=3).expired == 10 - len(first.documents)
    final = ledger.store.get_job(job.id)
    assert final.status is JobStatus.EXPIRED
    with pytest.raises(LeaseLost):
        ledger.finish(held)
    assert len(ledger.store.results(job.id)) == 10


def test_a_document_that_kills_its_process_is_quarantined_alone(ledger: Ledger) -> None:
    """One crash in company, two alone, and only the document that ran alone is blamed."""
    job = ledger.submit(40)
    key = ledger.keys(job)[-1]
    company = ledger.claimed(key)
    poison = company.documents[1].seq
    _crash(ledger)
    for _ in range(2):
        lease = ledger.claimed(key)
        assert lease.isolate
        for document in lease.documents:
            assert ledger.store.suspect(key, lease.attempt, document.seq)
            if document.seq == poison:
                break
            ledger.store.settle(key, lease.attempt, succeeded([document.seq]))
        report = _crash(ledger)
    assert report.quarantined == 1
    final = ledger.drain(job)
    assert final.counts.failed == 1
    assert final.counts.succeeded == 39
    (failed,) = [r for r in ledger.store.results(job.id) if r.status is DocumentStatus.FAILED]
    assert (failed.seq, failed.error_code) == (poison, "quarantined")


def test_a_slice_whose_workers_always_vanish_ends_too(ledger: Ledger) -> None:
    job = ledger.submit(1)
    (key,) = ledger.keys(job)
    for _ in range(9):
        ledger.claimed(key)
        _crash(ledger)
    final = ledger.store.get_job(job.id)
    assert (final.status, final.counts.failed) == (JobStatus.FAILED, 1)
    assert ledger.store.results(job.id)[0].error_code == "worker_lost"


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


def test_the_migrated_schema_is_the_schema_of_the_tables(ledger: Ledger, database_url: str) -> None:
    database = Database(database_url)
    migrate(database)
    differences = database.read(
        lambda c: compare_metadata(MigrationContext.configure(c, opts={"compare_type": True}), Base.metadata)
    )
    database.close()
    assert differences == []


def test_a_database_without_our_schema_is_told_from_a_ready_one(ledger: Ledger, tmp_path) -> None:  # type: ignore[no-untyped-def]
    ledger.store.ping()
    empty = SqlStore(Database(f"sqlite:///{tmp_path / 'empty.db'}"), slice_tokens=1, slice_documents=1)
    with pytest.raises(StoreUnavailable, match=r"jobs\.migrate"):
        empty.ping()


def _crash(ledger: Ledger):  # type: ignore[no-untyped-def]
    ledger.clock.advance(31)
    return ledger.store.sweep(max_crashes=3)


def _in_threads(work, count: int) -> None:  # type: ignore[no-untyped-def]
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
