"""A batch is a job, seen by its owner as OpenAI's clients see it."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from jobs.batches import (
    Batch,
    BatchNotFound,
    Half,
    LineProblem,
    batch_id_of,
    parse_result_file_id,
    result_file_id,
)
from jobs.errors import JobNotFound, RequestError
from jobs.files import Place
from jobs.records import DocumentStatus, Job, JobStatus, NewBatch, NewJob, Outcome
from jobs.store import tables
from jobs.store.batch_book import BatchBook
from tests.support.ledger import Ledger, documents

ASKED = NewBatch(
    endpoint="/v1/completions",
    input_file="file-1",
    completion_window="24h",
    metadata={"a": "b"},
    request_sha256="s",
)


@pytest.fixture
def book(ledger: Ledger) -> BatchBook:
    return BatchBook(ledger.store.database)


def make(ledger: Ledger, count: int = 4, owner: str = "", **asked: object) -> Job:
    batch = NewBatch(
        **{"endpoint": "/v1/completions", "input_file": None, "completion_window": "24h", **asked}
    )  # type: ignore[arg-type]
    return ledger.store.submit(NewJob(owner=owner, batch=batch), documents(count))[0]


def finish(ledger: Ledger, job: Job, *, failing: tuple[int, ...] = ()) -> Job:
    for key in ledger.keys(job):
        lease = ledger.claimed(key)
        outcomes = [
            Outcome(seq=d.seq, status=DocumentStatus.FAILED, error_code="too_long", error_message="no")
            if d.seq in failing
            else Outcome(
                seq=d.seq,
                status=DocumentStatus.SUCCEEDED,
                output={"n": d.seq},
                input_tokens=2,
                output_tokens=1,
            )
            for d in lease.documents
        ]
        ledger.store.settle(lease.key, lease.attempt, outcomes)
    return ledger.store.get_job(job.id, owner=job.owner)


def num_rows(ledger: Ledger, *names: str) -> list[int]:
    counts = [select(func.count()).select_from(getattr(tables, name)) for name in names]
    return ledger.store.database.read(lambda c: [c.scalar(each) or 0 for each in counts])


def test_a_batch_is_there_with_its_job_and_goes_with_it(ledger: Ledger, book: BatchBook) -> None:
    job, _ = ledger.store.submit(NewJob(owner="ada", batch=ASKED), documents(3))
    batch = book.get(batch_id_of(job.id), owner="ada")
    assert batch.asked == ASKED
    assert batch.job == job
    for half in Half:
        assert not batch.has_file(half)
    done = finish(ledger, job, failing=(1,))
    batch = book.get(batch.id, owner="ada")
    assert batch.job == done
    assert {half: batch.num_results(half) for half in Half} == {Half.OUTPUT: 2, Half.ERRORS: 1}
    ledger.store.delete(job.id, owner="ada")
    with pytest.raises(BatchNotFound):
        book.get(batch.id, owner="ada")
    assert num_rows(ledger, "job", "batch", "document", "result") == [0, 0, 0, 0]


def test_others_find_no_batch(ledger: Ledger, book: BatchBook) -> None:
    batch_id = batch_id_of(make(ledger, owner="ada").id)
    for owner, wanted in (("bob", batch_id), ("ada", "batch_none"), ("ada", "batch_\0")):
        with pytest.raises(BatchNotFound):
            book.get(wanted, owner=owner)
    assert book.page(owner="bob", after=None, limit=9) == []
    with pytest.raises(RequestError, match="no batch of this list"):
        book.page(owner="bob", after=batch_id, limit=9)
    with pytest.raises(BatchNotFound):
        book.drop_file(batch_id, Half.OUTPUT, owner="bob")


def test_a_job_that_is_still_coming_in_is_no_batch_yet(ledger: Ledger, book: BatchBook) -> None:
    """Documents go in blocks of a thousand; the batch is seen with the last."""
    seen: list[list[Batch]] = []

    def coming() -> object:
        for document in documents(2500):
            if document.seq in (0, 1500, 2400):
                seen.append(book.page(owner="", after=None, limit=9))
            yield document

    ledger.store.submit(NewJob(batch=ASKED), coming())  # type: ignore[arg-type]
    assert seen == [[], [], []]
    assert len(book.page(owner="", after=None, limit=9)) == 1


def test_what_was_refused_is_kept_with_its_reasons(ledger: Ledger, book: BatchBook) -> None:
    problems = [
        LineProblem(code="invalid_json_line", message="no", line=3),
        LineProblem(code="x", message="y"),
    ]
    batch = book.add_refused("ada", ASKED, problems)
    assert batch == book.get(batch.id, owner="ada")
    assert batch.job is None
    assert list(batch.problems) == problems
    ledger.clock.advance(100)
    ledger.store.sweep(max_crashes=3, keep_seconds=99)
    assert num_rows(ledger, "batch") == [0]


def test_batches_are_listed_newest_first_by_pages(ledger: Ledger, book: BatchBook) -> None:
    ids = [batch_id_of(make(ledger).id) for _ in range(3)]
    ids.append(book.add_refused("", ASKED, [LineProblem(code="x", message="y")]).id)
    seen: list[str] = []
    while found := book.page(owner="", after=seen[-1] if seen else None, limit=3):
        seen += [batch.id for batch in found]
    assert seen == ids[::-1]


def test_a_repeated_call_finds_the_batch_that_the_first_one_made(ledger: Ledger, book: BatchBook) -> None:
    assert book.repeated("s", owner="", within_seconds=60) is None
    job, _ = ledger.store.submit(NewJob(batch=ASKED), documents(3))
    found = book.repeated("s", owner="", within_seconds=60)
    assert found is not None
    assert found.job == job
    assert book.repeated("t", owner="", within_seconds=60) is None
    assert book.repeated("s", owner="bob", within_seconds=60) is None
    ledger.clock.advance(61)
    assert book.repeated("s", owner="", within_seconds=60) is None


def test_a_size_holds_until_the_job_changes(ledger: Ledger, book: BatchBook) -> None:
    job = make(ledger)
    finish(ledger, job, failing=(1,))
    batch = book.get(batch_id_of(job.id), owner="")
    book.keep_size(batch, Half.OUTPUT, 70)
    book.keep_size(batch, Half.ERRORS, 80)
    assert book.get(batch.id, owner="").sizes == {Half.OUTPUT: 70, Half.ERRORS: 80}
    ledger.store.retry(job.id)
    assert book.get(batch.id, owner="").sizes == {}
    finish(ledger, job)
    assert book.get(batch.id, owner="").sizes == {}


def test_with_the_last_file_texts_and_results_go_and_the_batch_stays(ledger: Ledger, book: BatchBook) -> None:
    job = make(ledger, owner="ada")
    finish(ledger, job, failing=(1,))
    batch = book.get(batch_id_of(job.id), owner="ada")
    book.drop_file(batch.id, Half.OUTPUT, owner="ada")
    half = book.get(batch.id, owner="ada")
    assert [half.has_file(each) for each in Half] == [False, True]
    assert num_rows(ledger, "document") == [4]
    with pytest.raises(BatchNotFound):
        book.drop_file(batch.id, Half.OUTPUT, owner="ada")
    book.drop_file(batch.id, Half.ERRORS, owner="ada")
    assert num_rows(ledger, "job", "document", "result", "slice_") == [0, 0, 0, 0]
    with pytest.raises(JobNotFound):
        ledger.store.get_job(job.id, owner="ada")
    left = book.get(batch.id, owner="ada")
    assert left.job == half.job
    assert [left.has_file(each) for each in Half] == [False, False]
    assert [each.id for each in book.page(owner="ada", after=None, limit=9)] == [batch.id]


def test_results_end_at_their_time_and_not_before_the_batch_has_ended(
    ledger: Ledger, book: BatchBook
) -> None:
    job = make(ledger, results_seconds=3600)
    ledger.clock.advance(4000)
    ledger.store.sweep(max_crashes=3)
    finish(ledger, job)
    ledger.clock.advance(3599)
    ledger.store.sweep(max_crashes=3)
    assert book.get(batch_id_of(job.id), owner="").has_file(Half.OUTPUT)
    ledger.clock.advance(2)
    ledger.store.sweep(max_crashes=3)
    left = book.get(batch_id_of(job.id), owner="")
    assert not left.has_file(Half.OUTPUT)
    assert left.job is not None
    assert left.job.status is JobStatus.COMPLETED
    assert num_rows(ledger, "job", "document", "result") == [0, 0, 0]


def test_batches_with_results_are_found_by_their_ends(ledger: Ledger, book: BatchBook) -> None:
    jobs = []
    for _ in range(3):
        ledger.clock.advance(10)
        jobs.append(finish(ledger, make(ledger)))
    make(ledger)  # not ended
    ids = [batch_id_of(job.id) for job in jobs]

    def ended(**more: object) -> list[str]:
        options = {"behind": None, "is_descending": True, "limit": 9, **more}
        return [batch.id for batch in book.ended(owner="", **options)]  # type: ignore[arg-type]

    assert ended() == ids[::-1]
    assert ended(is_descending=False, limit=2) == ids[:2]
    assert jobs[1].finished_at is not None
    middle = Place(seconds=jobs[1].finished_at.timestamp(), file_id="file-x")
    assert ended(behind=Place(seconds=middle.seconds - 1, file_id="")) == ids[:1]
    assert ended(behind=Place(seconds=middle.seconds + 1, file_id=""), is_descending=False) == ids[2:]


def test_the_id_of_a_result_file_names_its_batch() -> None:
    for half in Half:
        assert parse_result_file_id(result_file_id("batch_0a1b", half)) == ("batch_0a1b", half)
    for other in ("file-0a1b", "file-", "file--output", "file-1-lines", ""):
        assert parse_result_file_id(other) is None
