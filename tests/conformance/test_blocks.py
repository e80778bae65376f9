"""However large a job is, nobody waits long for it: what touches many rows goes in blocks, or is one row."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from jobs.errors import IllegalTransition, JobNotFound, StoreUnavailable
from jobs.listing import JobFilter
from jobs.records import DocumentStatus, JobStatus, NewJob, Outcome, ResultFilter
from jobs.store.database import Database
from jobs.store.sql import SqlStore
from tests.support.block_sizes import DeafDatabase, DyingDatabase, Killed, RowsPerTransaction
from tests.support.ledger import Clock, Ledger, documents, in_threads

#: Documents of a block, the slices that begin in it, and the job's row.
MOST_ROWS = 1000 + 1000 // 4 + 10
MANY = 6000


@pytest.fixture
def rows(ledger: Ledger) -> RowsPerTransaction:
    return RowsPerTransaction(ledger.store._database)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.blocks._MAX_DOCUMENTS", 3)
    monkeypatch.setattr("jobs.store.reopening._MOST_ROWS", 3)
    monkeypatch.setattr("jobs.store.pacing._FIRST_ROWS", 2)
    monkeypatch.setattr("jobs.store.pacing._MOST_ROWS", 2)


def failing(ledger: Ledger, job_id: str) -> None:
    """Fails every document of the job."""
    tickets = ledger.store.take_window(job_id=job_id, window=10_000, resend_after_seconds=0.0)
    for lease in [ledger.claimed(ticket.key) for ticket in tickets]:
        outcomes = [
            Outcome(seq=d.seq, status=DocumentStatus.FAILED, error_code="x", error_message="y")
            for d in lease.documents
        ]
        ledger.store.settle(lease.key, lease.attempt, outcomes)


def test_no_transaction_of_a_very_large_job_is_large(ledger: Ledger, rows: RowsPerTransaction) -> None:
    """L4, L5: submit, cancel, expiry, retry and deletion were one transaction of any size each."""
    store = ledger.store
    soon = datetime.now(UTC) + timedelta(seconds=60)
    assert rows.most_of(lambda: ledger.submit(MANY, expires_at=soon)) <= MOST_ROWS
    (job,), _ = store.list_jobs()
    ledger.clock.advance(120)
    assert rows.most_of(lambda: store.sweep(max_crashes=3)) <= 1010
    assert store.get_job(job.id).counts.expired == MANY
    assert rows.most_of(lambda: store.retry(job.id)) <= 5000
    assert rows.most_of(lambda: store.cancel(job.id)) <= 1010  # some slices, of however many
    store.sweep(max_crashes=3)
    assert open_slices(ledger) == 0
    assert store.get_job(job.id).counts.cancelled == MANY
    assert rows.most_of(lambda: store.delete(job.id)) <= 5000


@pytest.mark.usefixtures("small_blocks")
def test_a_job_is_invisible_until_its_last_block_is_in(ledger: Ledger) -> None:
    seen: list[object] = []

    def slowly():  # type: ignore[no-untyped-def]
        for document in documents(10):
            seen.append(ledger.store.list_jobs())
            seen.append(ledger.store.take_window(window=9, resend_after_seconds=0.0))
            seen.append(ledger.store.backlog())
            yield document

    job, _ = ledger.store.submit(NewJob(), slowly())
    empty = {"waiting_slices": 0, "leased_slices": 0, "open_documents": 0, "oldest_waiting_seconds": 0}
    assert seen == [([], None), [], empty] * 10
    assert ledger.store.backlog()["open_documents"] == 10
    assert ledger.drain(job).counts.succeeded == 10


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("num_blocks", [1, 2, 3])
def test_a_submit_that_is_killed_leaves_nothing(ledger: Ledger, database_url: str, num_blocks: int) -> None:
    """A crash in the middle of a submit leaves rows that nobody sees, and a sweep removes them."""
    clock = Clock()
    dying = DyingDatabase(database_url, num_writes=num_blocks, clock_offset=clock)
    store = SqlStore(dying, slice_tokens=10_000, slice_documents=4)
    new = NewJob(idempotency_key="k", request_sha256="a")
    with pytest.raises(Killed):
        store.submit(new, documents(10))
    store.close()
    assert ledger.store.list_jobs() == ([], None)
    assert not ledger.store.has_submission("k")
    repeated, is_new = ledger.store.submit(new, documents(10))
    assert is_new
    assert num_rows(ledger, "document") == 10 + 3 * num_blocks
    ledger.store.sweep(max_crashes=3)  # it might still be on its way
    assert num_rows(ledger, "document") == 10 + 3 * num_blocks
    ledger.clock.advance(600)
    assert ledger.store.sweep(max_crashes=3).removed == 1
    assert num_rows(ledger, "document") == 10
    assert ledger.drain(repeated).counts.succeeded == 10


@pytest.mark.usefixtures("small_blocks")
def test_a_submit_whose_documents_break_off_leaves_nothing_at_once(ledger: Ledger) -> None:
    def broken():  # type: ignore[no-untyped-def]
        yield from documents(8)
        raise ValueError("the upload broke off")

    with pytest.raises(ValueError, match="broke off"):
        ledger.store.submit(NewJob(), broken())
    assert [num_rows(ledger, table) for table in ("job", "document", "slice")] == [0, 0, 0]


@pytest.mark.usefixtures("small_blocks")
def test_a_submit_that_was_taken_for_dead_says_so_and_stores_nothing(ledger: Ledger) -> None:
    def endless():  # type: ignore[no-untyped-def]
        yield from documents(9)[:8]
        ledger.clock.advance(600)
        ledger.store.sweep(max_crashes=3)
        yield documents(9)[8]

    with pytest.raises(StoreUnavailable, match="submit again"):
        ledger.store.submit(NewJob(), endless())
    ledger.store.sweep(max_crashes=3)
    assert [num_rows(ledger, table) for table in ("job", "document", "slice")] == [0, 0, 0]


@pytest.mark.usefixtures("small_blocks")
def test_every_block_of_a_submit_knows_its_own_work(database_url: str, ledger: Ledger) -> None:
    """L12: the COMMIT of each block goes through, and nobody hears of it."""
    store = SqlStore(DeafDatabase(database_url), slice_tokens=10_000, slice_documents=4)
    new = NewJob(idempotency_key="k", request_sha256="a")
    job, is_new = store.submit(new, documents(10))
    assert is_new
    assert (job.counts.total, num_rows(ledger, "document")) == (10, 10)
    again, is_new = store.submit(new, documents(10))
    assert (again.id, is_new) == (job.id, False)
    assert ledger.drain(job).counts.succeeded == 10
    store.retry(failed_job(ledger).id)
    store.delete(job.id)
    store.close()
    assert num_rows(ledger, "job") == 1


def failed_job(ledger: Ledger, count: int = 10):  # type: ignore[no-untyped-def]
    job = ledger.submit(count)
    failing(ledger, job.id)
    return ledger.store.get_job(job.id)


@pytest.mark.usefixtures("small_blocks")
def test_equal_large_submissions_at_the_same_moment_make_one_job(ledger: Ledger) -> None:
    barrier = threading.Barrier(3)
    answers: list[tuple[str, bool]] = []

    def submit() -> None:
        barrier.wait()
        job, is_new = ledger.store.submit(NewJob(idempotency_key="k", request_sha256="a"), documents(20))
        answers.append((job.id, is_new))

    in_threads(submit, 3)
    assert len({job_id for job_id, _ in answers}) == 1
    assert sorted(is_new for _, is_new in answers) == [False, False, True]
    assert [num_rows(ledger, table) for table in ("job", "document")] == [1, 20]


def test_what_a_cancel_left_open_reads_as_cancelled_and_is_counted_once(ledger: Ledger) -> None:
    """L5: the results of a cancelled job are told by its one row, and are the same as ever."""
    job = ledger.submit(12)
    first, second, *_ = (ledger.claimed(key) for key in ledger.keys(job)[:2])
    ledger.finish(first)
    cancelled = ledger.store.cancel(job.id)
    num_done = len(first.documents)
    assert (cancelled.status, cancelled.counts.cancelled) == (JobStatus.CANCELLED, 12 - num_done)
    assert cancelled.counts.queued == cancelled.counts.running == 0
    rows = ledger.store.results(job.id)
    assert [row.seq for row in rows] == list(range(12))
    assert {row.error_code for row in rows[num_done:]} == {"cancelled"}
    assert {row.status for row in rows[:num_done]} == {DocumentStatus.SUCCEEDED}
    only = {status: ResultFilter(statuses=frozenset({status})) for status in DocumentStatus}
    for status, count in ((DocumentStatus.SUCCEEDED, num_done), (DocumentStatus.CANCELLED, 12 - num_done)):
        found = ledger.store.result_page(job.id, only=only[status])
        assert len(found.rows) == count == ledger.store.count_results(job.id, only=only[status])
        assert not found.has_more
    assert ledger.store.results(job.id, only=only[DocumentStatus.EXPIRED]) == []
    assert ledger.store.count_results(job.id) == 12
    assert ledger.store.count_results(job.id, after=9) == 2
    page = ledger.store.result_page(job.id, after=2, limit=4)
    assert ([row.seq for row in page.rows], page.has_more) == ([3, 4, 5, 6], True)
    assert ledger.store.backlog()["leased_slices"] == ledger.store.backlog()["waiting_slices"] == 0
    assert ledger.claim(second.key) is None
    assert not ledger.store.release(second.key, second.attempt)
    assert not ledger.store.suspect(second.key, second.attempt, 5)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("num_writes", [1, 2, 3])
def test_a_retry_that_is_killed_is_gone_on_with(ledger: Ledger, database_url: str, num_writes: int) -> None:
    """A retry in blocks: from its first one on the job is queued, and only its successes count."""
    job = failed_job(ledger)
    dying = DyingDatabase(database_url, num_writes=num_writes)
    with pytest.raises(Killed):
        SqlStore(dying, slice_tokens=10_000, slice_documents=4).retry(job.id)
    dying.close()
    halfway = ledger.store.get_job(job.id)
    assert (halfway.status, halfway.counts.queued, halfway.counts.failed) == (JobStatus.QUEUED, 10, 0)
    assert [each.id for each in ledger.store.list_jobs(only=JobFilter(status=JobStatus.QUEUED))[0]] == [
        job.id
    ]
    assert ledger.store.results(job.id) == []
    assert ledger.store.count_results(job.id) == ledger.store.count_results(job.id, after=0) == 0
    assert ledger.store.result_page(job.id).has_more
    assert ledger.keys(job) == []
    with pytest.raises(IllegalTransition):
        ledger.store.retry(job.id)
    ledger.store.sweep(max_crashes=3)
    assert ledger.drain(job).counts.succeeded == 10


@pytest.mark.usefixtures("small_blocks")
def test_a_retry_cancelled_in_the_middle_has_cancelled_documents_only(
    ledger: Ledger, database_url: str
) -> None:
    job = failed_job(ledger)
    dying = DyingDatabase(database_url, num_writes=1)
    with pytest.raises(Killed):
        SqlStore(dying, slice_tokens=10_000, slice_documents=4).retry(job.id)
    dying.close()
    cancelled = ledger.store.cancel(job.id)
    assert cancelled.counts.cancelled == 10
    assert {row.status for row in ledger.store.results(job.id)} == {DocumentStatus.CANCELLED}
    ledger.store.sweep(max_crashes=3)
    ledger.store.retry(job.id)
    assert ledger.drain(job).counts.succeeded == 10


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("num_writes", [1, 3])
def test_a_deletion_that_is_killed_is_gone_on_with(
    ledger: Ledger, database_url: str, num_writes: int
) -> None:
    """From its first transaction on nobody sees the job; a sweep removes what is left of it."""
    job = failed_job(ledger)
    dying = DyingDatabase(database_url, num_writes=num_writes)
    with pytest.raises(Killed):
        SqlStore(dying, slice_tokens=10_000, slice_documents=4).delete(job.id)
    dying.close()
    with pytest.raises(JobNotFound):
        ledger.store.get_job(job.id)
    assert ledger.store.list_jobs() == ([], None)
    assert num_rows(ledger, "document") > 0
    assert ledger.store.sweep(max_crashes=3).removed == 1
    assert [num_rows(ledger, table) for table in ("job", "document", "result", "slice")] == [0] * 4


@pytest.mark.usefixtures("small_blocks")
def test_finished_jobs_are_removed_when_their_days_are_over(ledger: Ledger) -> None:
    """L15: nothing was ever purged."""
    done = [failed_job(ledger) for _ in range(2)]
    cancelled = ledger.store.cancel(ledger.submit(5).id)
    ledger.clock.advance(3600)
    young, unfinished = failed_job(ledger), ledger.submit(5)
    assert ledger.store.sweep(max_crashes=3, keep_seconds=7200).removed == 0
    ledger.clock.advance(3601)
    assert ledger.store.sweep(max_crashes=3).removed == 0  # not set: kept for ever
    assert ledger.store.sweep(max_crashes=3, keep_seconds=7200).removed == 3
    left = {job.id for job in ledger.store.list_jobs()[0]}
    assert left == {young.id, unfinished.id}
    assert not left & {cancelled.id, *(job.id for job in done)}
    assert num_rows(ledger, "document") == 15


def open_slices(ledger: Ledger) -> int:
    return num_rows(ledger, "slice WHERE state != 'done' OR num_open != 0")


def num_rows(ledger: Ledger, table: str) -> int:
    def count(connection):  # type: ignore[no-untyped-def]
        return connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar()

    database: Database = ledger.store._database
    return int(database.read(count))
