"""Issue 21.4: the event of a job's end is written with that end, for every webhook that wants it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobs.batches import LineProblem, batch_id_of
from jobs.errors import IllegalTransition
from jobs.records import DocumentStatus, NewBatch, NewJob, Outcome
from jobs.store import backup
from jobs.store.batch_book import BatchBook
from jobs.store.database import Database
from jobs.store.sql import SqlStore
from jobs.store.webhook_book import WebhookBook
from jobs.webhooks.records import Answer, DeliveryState, EventType, WebhookNotFound
from tests.support.block_sizes import DeafDatabase, DyingDatabase, Killed
from tests.support.hooks import URL, add_hook, book_on, fail, num_rows, take, told
from tests.support.ledger import Clock, Ledger, documents, succeeded

BATCH = NewBatch(endpoint="/v1/sentiment", input_file="file-1", completion_window="24h")
DELIVERED = Answer(http_status=204)


@pytest.fixture
def book(ledger: Ledger) -> WebhookBook:
    return book_on(ledger.store.database)


def fail_all(ledger: Ledger, job_id: str) -> None:
    for key in [t.key for t in ledger.store.take_window(job_id=job_id, window=99, resend_after_seconds=0.0)]:
        lease = ledger.claimed(key)
        outcomes = [
            Outcome(seq=d.seq, status=DocumentStatus.FAILED, error_code="x", error_message="y")
            for d in lease.documents
        ]
        ledger.store.settle(key, lease.attempt, outcomes)


def submit(ledger: Ledger, count: int = 5, **job: object) -> str:
    return ledger.store.submit(NewJob(**job), documents(count))[0].id  # type: ignore[arg-type]


@pytest.mark.parametrize("is_batch", [False, True], ids=["job", "batch"])
@pytest.mark.parametrize("end", ["completed", "failed", "cancelled", "expired"])
def test_every_end_of_a_job_is_told(ledger: Ledger, book: WebhookBook, end: str, is_batch: bool) -> None:
    add_hook(book)
    soon = datetime.now(UTC) + timedelta(seconds=60)
    job_id = submit(ledger, expires_at=soon, batch=BATCH if is_batch else None)
    assert take(book) == []
    if end == "completed":
        ledger.drain(ledger.store.get_job(job_id))
    elif end == "failed":
        fail_all(ledger, job_id)
    elif end == "cancelled":
        ledger.store.cancel(job_id)
    else:
        ledger.clock.advance(120)
        ledger.store.sweep(max_crashes=3)
    assert ledger.store.get_job(job_id).status == end
    (parcel,) = take(book)
    if is_batch:  # one whose requests all failed is completed, as `/v1/batches` says
        end = "completed" if end == "failed" else end
        assert told([parcel]) == [(f"batch.{end}", batch_id_of(job_id))]
    else:
        assert told([parcel]) == [(f"job.{end}", job_id)]
    body = json.loads(parcel.body)
    assert body.keys() == {"id", "object", "created_at", "type", "data"}
    assert (body["id"], body["object"]) == (parcel.event_id, "event")
    assert take(book) == []


def test_an_event_holds_ids_and_counts_and_no_text(ledger: Ledger, book: WebhookBook) -> None:
    add_hook(book)
    job = ledger.submit(5, metadata={"secret": "text 1"})
    ledger.drain(job)
    (parcel,) = take(book)
    assert json.loads(parcel.body)["data"] == {
        "id": job.id,
        "status": "completed",
        "counts": {"total": 5, "succeeded": 5, "failed": 0, "cancelled": 0, "expired": 0},
        "tokens": {"input": 15, "output": 5},
    }
    assert "text" not in parcel.body


def test_a_refused_batch_is_told_as_failed(ledger: Ledger, book: WebhookBook) -> None:
    add_hook(book)
    problem = LineProblem(code="invalid_value", message="no", line=1)
    batch = BatchBook(ledger.store.database).add_refused("", BATCH, [problem])
    assert told(take(book)) == [("batch.failed", batch.id)]


def test_only_who_asked_for_an_event_gets_it(ledger: Ledger, book: WebhookBook) -> None:
    """Of its project, of its own job, of its kind; one event has one id for all."""
    for_all = add_hook(book)
    add_hook(book, owner="others")
    add_hook(book, events=[EventType.JOB_CANCELLED, EventType.BATCH_COMPLETED])
    own = book.new(f"{URL}/own", events=(), secret=None)
    job_id, other_id = submit(ledger, webhook=own), submit(ledger)
    ledger.drain(ledger.store.get_job(job_id))
    parcels = take(book)
    assert sorted(parcel.url for parcel in parcels) == [for_all.url, f"{URL}/own"]
    assert len({parcel.event_id for parcel in parcels}) == 1
    ledger.store.cancel(other_id)
    assert told(take(book)) == [("job.cancelled", other_id)] * 2


def test_nobody_is_told_of_a_job_whose_caller_waits(ledger: Ledger, book: WebhookBook) -> None:
    """Each single call is a job: a project's webhook would hear of every chat."""
    add_hook(book)
    job_id = submit(ledger, is_told=False)
    ledger.drain(ledger.store.get_job(job_id))
    assert ledger.store.get_job(job_id).status.is_final
    assert take(book) == []


def test_a_job_that_ends_again_is_told_again(ledger: Ledger, book: WebhookBook) -> None:
    add_hook(book)
    job = ledger.submit(5)
    ledger.store.cancel(job.id)
    ledger.store.retry(job.id)
    ledger.drain(job)
    parcels = take(book)
    assert told(parcels) == [("job.cancelled", job.id), ("job.completed", job.id)]
    assert len({parcel.event_id for parcel in parcels}) == 2


@pytest.mark.parametrize("num_writes", range(6))
def test_no_kill_comes_between_an_end_and_its_event(
    ledger: Ledger, database_url: str, book: WebhookBook, num_writes: int
) -> None:
    """Whichever transaction is the last of its process: both are there, or neither, and then both later."""
    add_hook(book)
    job = ledger.submit(8)
    keys = ledger.keys(job)
    dying = DyingDatabase(database_url, num_writes=num_writes, clock_offset=ledger.clock)
    worker = Ledger(SqlStore(dying, slice_tokens=10_000, slice_documents=4), ledger.clock)
    try:
        for key in keys:
            worker.finish(worker.claimed(key))
    except Killed:
        pass
    dying.close()
    is_over = ledger.store.get_job(job.id).status.is_final
    assert is_over == (num_writes >= 2 * len(keys))
    assert told(take(book)) == [("job.completed", job.id)] * is_over
    ledger.clock.advance(31)
    ledger.store.sweep(max_crashes=99)
    ledger.drain(job)
    ledger.clock.advance(61)  # what was taken above was never settled
    assert told(take(book)) == [("job.completed", job.id)]


def test_an_end_that_nobody_heard_of_is_told_once(
    ledger: Ledger, database_url: str, book: WebhookBook
) -> None:
    deaf = SqlStore(DeafDatabase(database_url), slice_tokens=10_000, slice_documents=4)
    add_hook(book)
    job, other = ledger.submit(3), ledger.submit(3)
    for key in ledger.keys(job):
        lease = ledger.claimed(key)
        deaf.settle(key, lease.attempt, succeeded(d.seq for d in lease.documents))
    deaf.cancel(other.id)
    assert sorted(told(take(book))) == [("job.cancelled", other.id), ("job.completed", job.id)]
    deaf.close()


def test_a_deleted_job_is_told_of_no_more(ledger: Ledger, book: WebhookBook) -> None:
    """Whoever deletes a job withdraws what has not been delivered; its own webhook goes with it."""
    hook = add_hook(book)
    own = book.new(f"{URL}/own", events=(), secret=None)
    job_id = submit(ledger, webhook=own)
    assert [each.url for each in book.all(owner="", job_id=job_id)] == [own.url]
    ledger.store.cancel(job_id)
    first, _ = take(book)
    ledger.store.delete(job_id)
    assert not book.settle(first, DELIVERED, chance=0.0)
    assert num_rows(ledger.store.database, "webhook_delivery") == 0
    assert [each.id for each in book.all(owner="")] == [hook.id]
    assert num_rows(ledger.store.database, "webhook") == 1


def test_jobs_go_by_themselves_only_when_all_were_told(ledger: Ledger, book: WebhookBook) -> None:
    """TEXTMILL_KEEP_DAYS shorter than the tries of a delivery loses no event."""
    add_hook(book)
    job = ledger.submit(3)
    ledger.drain(job)
    (parcel,) = take(book)
    fail(book, parcel)
    ledger.clock.advance(3600)
    ledger.store.sweep(max_crashes=3, keep_seconds=10)
    (parcel,) = take(book)
    assert told([parcel]) == [("job.completed", job.id)]
    assert book.settle(parcel, DELIVERED, chance=0.0)
    assert ledger.store.sweep(max_crashes=3, keep_seconds=10).removed == 1


def test_the_end_of_a_batchs_results_is_not_that_of_its_event(ledger: Ledger, book: WebhookBook) -> None:
    add_hook(book)
    job_id = submit(ledger, batch=NewBatch(endpoint="/v1/sentiment", input_file=None, completion_window="24h",
                                           results_seconds=3600))  # fmt: skip
    ledger.drain(ledger.store.get_job(job_id))
    ledger.clock.advance(4000)
    ledger.store.sweep(max_crashes=3)
    assert told(take(book)) == [("batch.completed", batch_id_of(job_id))]


def test_what_a_disabled_webhook_misses_can_be_sent_later(ledger: Ledger, book: WebhookBook) -> None:
    hook = add_hook(book)
    book.change(hook.id, owner="", url=None, events=None, is_enabled=False)
    job = ledger.submit(3)
    ledger.drain(job)
    assert take(book) == []
    (missed,) = book.deliveries(hook.id, owner="")
    assert (missed.state, missed.error) == (DeliveryState.FAILED, "the webhook was disabled")
    book.change(hook.id, owner="", url=None, events=None, is_enabled=True)
    assert book.replay_failed(hook.id, owner="", since=None) == 1
    assert told(take(book)) == [("job.completed", job.id)]


def test_a_webhook_of_another_project_is_as_one_that_is_not_there(book: WebhookBook) -> None:
    hook = add_hook(book, owner="a")
    assert book.all(owner="b") == []
    for call in (
        lambda: book.get(hook.id, owner="b"),
        lambda: book.change(hook.id, owner="b", url=None, events=None, is_enabled=False),
        lambda: book.rotate(hook.id, owner="b", secret=None, overlap_seconds=0),
        lambda: book.deliveries(hook.id, owner="b"),
        lambda: book.replay_failed(hook.id, owner="b", since=None),
        lambda: book.delete(hook.id, owner="b"),
    ):
        with pytest.raises(WebhookNotFound):
            call()
    assert book.get(hook.id, owner=None) == book.get(hook.id, owner="a")


def test_a_webhook_of_a_job_stays_as_long_as_the_job(ledger: Ledger, book: WebhookBook) -> None:
    job_id = submit(ledger, webhook=book.new(URL, events=(), secret=None))
    with pytest.raises(IllegalTransition):
        ledger.store.delete(job_id)
    assert len(book.all(owner="", job_id=job_id)) == 1


def test_every_verb_on_a_webhook_knows_its_own_work(ledger: Ledger, database_url: str) -> None:
    """A COMMIT went through and nobody heard of it: nothing is made twice, nothing fails."""
    database = DeafDatabase(database_url, clock_offset=Clock())
    book = book_on(database)
    hook = add_hook(book)
    assert len(book.all(owner="")) == 1
    rotated = book.rotate(hook.id, owner="", secret=None, overlap_seconds=60)
    assert rotated.old_secret == hook.secret
    book.delete(hook.id, owner="")
    assert book.all(owner="") == []
    database.close()


def test_a_restored_ledger_has_its_webhooks(
    ledger: Ledger, empty_url: str, tmp_path: Path, book: WebhookBook
) -> None:
    hook = add_hook(book)
    ledger.drain(ledger.submit(3))
    backup.save(ledger.store.database, tmp_path / "saved.db")
    target = Database(empty_url)
    backup.restore(target, tmp_path / "saved.db")
    again = book_on(target)
    assert again.all(owner="") == [hook]
    assert len(take(again)) == 1
    add_hook(again)
    target.close()
