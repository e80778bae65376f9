"""What clients do with jobs: submit, read, cancel, retry, delete."""

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
from jobs.listing import JobFilter
from jobs.records import (
    DocumentStatus,
    JobStatus,
    LeaseState,
    NewJob,
    Outcome,
)
from jobs.store.database import Database
from jobs.store.migrate import migrate
from jobs.store.sql import SqlStore
from jobs.store.tables import Base
from tests.support.ledger import Ledger, back_to, documents, in_threads, succeeded


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

    in_threads(submit, 4)
    assert len(ids) == 4
    assert len(set(ids)) == 1
    assert len(ledger.store.list_jobs()[0]) == 1


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
    assert ledger.store.list_jobs(only=JobFilter(status=JobStatus.COMPLETED)) == ([], None)


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


def test_the_migrated_schema_is_the_schema_of_the_tables(ledger: Ledger, database_url: str) -> None:
    database = Database(database_url)
    migrate(database)
    differences = database.read(
        lambda c: compare_metadata(MigrationContext.configure(c, opts={"compare_type": True}), Base.metadata)
    )
    database.close()
    assert differences == []


def test_a_ledger_of_the_first_schema_is_upgraded_with_all_its_rows(
    ledger: Ledger, database_url: str
) -> None:
    job = ledger.submit(5)
    ledger.drain(job)
    database = Database(database_url)
    back_to(database, "0001")
    with pytest.raises(StoreUnavailable, match="0001"):
        ledger.store.ping()
    migrate(database)
    database.close()
    ledger.store.ping()
    assert ledger.store.get_job(job.id).counts.succeeded == 5
    assert len(ledger.store.results(job.id)) == 5


def test_a_retry_begins_a_run_of_its_own_and_keeps_what_was_there(ledger: Ledger) -> None:
    """W25: the rate of a retried job counted from its first start on."""
    job = ledger.submit(8)
    first, *_ = ledger.keys(job)
    done = ledger.claimed(first)
    ledger.finish(done)
    ledger.store.cancel(job.id)
    reopened = ledger.store.retry(job.id)
    assert reopened.started_at is None
    assert reopened.kept_documents == len(done.documents)
    assert reopened.kept_tokens == 4 * len(done.documents)
    ledger.clock.advance(3600)
    final = ledger.drain(job)
    assert final.started_at is not None
    assert final.counts.succeeded == 8
    assert final.finished_at is not None
    assert (final.finished_at - final.started_at).total_seconds() < 60


def test_a_database_without_our_schema_is_told_from_a_ready_one(ledger: Ledger, tmp_path) -> None:  # type: ignore[no-untyped-def]
    ledger.store.ping()
    empty = SqlStore(Database(f"sqlite:///{tmp_path / 'empty.db'}"), slice_tokens=1, slice_documents=1)
    with pytest.raises(StoreUnavailable, match=r"jobs\.migrate"):
        empty.ping()
