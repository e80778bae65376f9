"""What lists, counts and signs of life say of jobs and workers."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from jobs.errors import JobNotFound, RequestError
from jobs.listing import JobFilter
from jobs.records import (
    DocumentStatus,
    Job,
    JobStatus,
    NewDocument,
    NewJob,
    Outcome,
    ResultFilter,
    Task,
    WorkerBeat,
)
from jobs.store import tables as t
from jobs.store.removal import hide
from tests.support.ledger import Ledger, crash, crash_on, succeeded


def ids(ledger: Ledger, **options: object) -> list[str]:
    jobs, _ = ledger.store.list_jobs(**options)  # type: ignore[arg-type]
    return [job.id for job in jobs]


def test_jobs_are_listed_by_status_and_each_says_what_runs(ledger: Ledger) -> None:
    done, cancelled, running, queued = (ledger.submit(count) for count in (1, 2, 9, 3))
    ledger.drain(done)
    ledger.store.cancel(cancelled.id)
    lease = ledger.claimed(ledger.keys(running)[0])
    ledger.store.settle(lease.key, lease.attempt, succeeded([lease.documents[0].seq]))
    assert ids(ledger) == [queued.id, running.id, cancelled.id, done.id]
    expected = {
        JobStatus.QUEUED: queued,
        JobStatus.RUNNING: running,
        JobStatus.CANCELLED: cancelled,
        JobStatus.COMPLETED: done,
    }
    for status, job in expected.items():
        assert ids(ledger, only=JobFilter(status=status)) == [job.id]
        (listed,), _ = ledger.store.list_jobs(only=JobFilter(status=status))
        assert listed == ledger.store.get_job(job.id)
    (seen,), _ = ledger.store.list_jobs(only=JobFilter(status=JobStatus.RUNNING))
    counts = (seen.counts.total, seen.counts.succeeded, seen.counts.running, seen.counts.queued)
    assert counts == (9, 1, len(lease.documents) - 1, 9 - len(lease.documents))


def test_jobs_are_found_by_name_by_tag_and_by_how_their_ids_begin(ledger: Ledger) -> None:
    tuesday = ledger.submit(1, owner="ada", name="nightly", tags=("reviews", "de"))
    wednesday = ledger.submit(1, owner="ada", name="nightly", tags=("reviews",))
    other = ledger.submit(1, owner="bob", name="nightly", tags=("reviews",))
    plain = ledger.submit(1, owner="ada")
    for job in (tuesday, wednesday, other):
        assert (job.name, job.tags[0]) == ("nightly", "reviews")
    assert (plain.name, plain.tags) == (None, ())
    expected: dict[JobFilter, list[Job]] = {
        JobFilter(name="nightly"): [wednesday, tuesday],
        JobFilter(name="night"): [],
        JobFilter(tag="reviews"): [wednesday, tuesday],
        JobFilter(tag="de"): [tuesday],
        JobFilter(tag="de", name="nightly", status=JobStatus.QUEUED, model="m"): [tuesday],
        JobFilter(tag="de", status=JobStatus.COMPLETED): [],
        JobFilter(tag="rev"): [],
        JobFilter(prefix=plain.id): [plain],
        JobFilter(prefix=plain.id[:-1]): [plain],
        JobFilter(prefix=other.id): [],
    }
    for only, found in expected.items():
        assert ids(ledger, owner="ada", only=only) == [job.id for job in found]
    assert ids(ledger, owner=None, only=JobFilter(tag="reviews")) == [other.id, wednesday.id, tuesday.id]
    assert ids(ledger, owner=None, only=JobFilter(name="nightly", model="m")) == [
        other.id, wednesday.id, tuesday.id,
    ]  # fmt: skip


def test_an_id_that_no_job_can_have_begins_none(ledger: Ledger) -> None:
    job = ledger.submit(1)
    for prefix in ("", "job", "JOB_", "job_%", "job__", "job_g", job.id.upper(), f"{job.id}0", "x" + job.id):
        assert ids(ledger, only=JobFilter(prefix=prefix)) == []
    assert ids(ledger, only=JobFilter(prefix="job_")) == [job.id]


def test_pages_of_a_tag_go_on_where_they_ended(ledger: Ledger) -> None:
    jobs = [ledger.submit(1, tags=("a",) if number % 2 else ("a", "b")).id for number in range(7)][::-1]
    page, cursor = ledger.store.list_jobs(only=JobFilter(tag="b"), limit=3)
    assert ([job.id for job in page], cursor) == (jobs[::2][:3], jobs[4])
    rest, end = ledger.store.list_jobs(only=JobFilter(tag="b"), limit=3, after=cursor)
    assert ([job.id for job in rest], end) == (jobs[::2][3:], None)


def test_a_tag_goes_with_its_job(ledger: Ledger) -> None:
    job = ledger.submit(1, tags=("gone",))
    ledger.drain(job)
    ledger.store.delete(job.id)
    ledger.store.sweep(max_crashes=3, keep_seconds=10**10)
    with ledger.store.database.engine.connect() as connection:
        assert connection.execute(select(t.job_tag)).all() == []


def test_a_job_that_is_made_ready_for_another_try_is_listed_as_queued(ledger: Ledger) -> None:
    job = ledger.submit(2)
    ledger.store.cancel(job.id)
    ledger.store.retry(job.id)
    assert ids(ledger, only=JobFilter(status=JobStatus.QUEUED)) == [job.id]


def test_a_page_ends_where_it_is_told_and_the_next_begins_after_it(ledger: Ledger) -> None:
    jobs = [ledger.submit(1, owner="ada").id for _ in range(4)][::-1]
    page, cursor = ledger.store.list_jobs(owner="ada", limit=3)
    assert ([job.id for job in page], cursor) == (jobs[:3], jobs[2])
    rest, end = ledger.store.list_jobs(owner="ada", limit=3, after=cursor)
    assert ([job.id for job in rest], end) == (jobs[3:], None)
    assert ledger.store.list_jobs(owner="ada", limit=4)[1] is None


def test_a_cursor_of_nobody_or_of_somebody_else_is_refused(ledger: Ledger) -> None:
    job = ledger.submit(1, owner="ada")
    for owner, cursor in (("ada", "job_x"), ("bob", job.id)):
        with pytest.raises(RequestError, match=f"after='{cursor}' is not a cursor"):
            ledger.store.list_jobs(owner=owner, after=cursor)
    assert ledger.store.list_jobs(owner=None, after=job.id) == ([], None)


def test_whose_a_job_is_and_of_which_models_its_documents_are(ledger: Ledger) -> None:
    job = ledger.submit(9, owner="ada")
    assert ledger.store.owner_of(job.id) == "ada"
    assert ledger.store.models_of(job.id) == ["m"]
    for ask in (ledger.store.owner_of, ledger.store.models_of):
        with pytest.raises(JobNotFound, match="'job_x'"):
            ask("job_x")


def test_a_submission_is_known_by_its_key_to_its_owner_alone(ledger: Ledger) -> None:
    ledger.submit(1, owner="ada", idempotency_key="k")
    known = [
        ledger.store.has_submission(key, owner=owner)
        for key, owner in (("k", "ada"), ("k", "bob"), ("l", "ada"))
    ]
    assert known == [True, False, False]


def test_a_sign_of_life_is_shown_as_it_was_given_with_its_age(ledger: Ledger) -> None:
    sign = WorkerBeat(
        worker_id="w", device="cuda:1", models=("m", "n"), warm_models=("n",), loop_age_seconds=0.5,
        details={"slots": 3},
    )  # fmt: skip
    ledger.store.beat(
        WorkerBeat(worker_id="w", device="cpu", models=(), warm_models=(), loop_age_seconds=9.0)
    )
    ledger.clock.advance(5)
    ledger.store.beat(sign)
    ledger.clock.advance(7)
    (seen,) = ledger.store.workers(max_age_seconds=60)
    told = (seen.worker_id, seen.device, seen.models, seen.warm_models, seen.loop_age_seconds, seen.details)
    assert told == ("w", "cuda:1", ("m", "n"), ("n",), 0.5, {"slots": 3})
    assert 7 <= seen.age_seconds < 60
    ledger.clock.advance(-30)  # another host's clock
    (seen,) = ledger.store.workers(max_age_seconds=60)
    assert seen.age_seconds == 0.0
    ledger.store.forget_worker("another")
    assert len(ledger.store.workers(max_age_seconds=60)) == 1


def test_the_backlog_tells_how_long_the_oldest_job_has_waited(ledger: Ledger) -> None:
    assert ledger.store.backlog() == {
        "waiting_slices": 0, "leased_slices": 0, "open_documents": 0, "oldest_waiting_seconds": 0,
    }  # fmt: skip
    begun, done = ledger.submit(9), ledger.submit(1)
    ledger.drain(done)
    first, second = ledger.keys(begun)[:2]
    lease = ledger.claimed(first)
    ledger.store.settle(
        lease.key, lease.attempt,
        [Outcome(seq=0, status=DocumentStatus.FAILED, error_code="x", error_message="y")],
    )  # fmt: skip
    ledger.claimed(second)
    ledger.clock.advance(100)
    waiting = ledger.submit(2)
    ledger.clock.advance(30)
    told = ledger.store.backlog()
    assert (told["leased_slices"], told["open_documents"]) == (1, 8 + 2)
    assert told["waiting_slices"] == len(ledger.keys(begun)) + len(ledger.keys(waiting))
    assert 30 <= told["oldest_waiting_seconds"] < 90


def test_results_tell_the_tokens_that_were_read_and_written(ledger: Ledger) -> None:
    job = ledger.submit(1)
    lease = ledger.claimed(ledger.keys(job)[0])
    ledger.store.settle(
        lease.key, lease.attempt,
        [Outcome(seq=0, status=DocumentStatus.SUCCEEDED, output={"n": 1}, input_tokens=7, output_tokens=5)],
    )  # fmt: skip
    (result,) = ledger.store.results(job.id)
    assert (result.input_tokens, result.output_tokens) == (7, 5)


def test_a_filter_of_models_waits_for_no_document_of_another(ledger: Ledger) -> None:
    rows = [
        NewDocument(seq=seq, custom_id=str(seq), task=Task.QA, model="ab"[seq % 2], text="x")
        for seq in range(4)
    ]
    job, _ = ledger.store.submit(NewJob(), rows)
    for key in ledger.keys(job):
        lease = ledger.claimed(key)
        if lease.model == "a":
            ledger.finish(lease)
    page = ledger.store.result_page(job.id, only=ResultFilter(models=frozenset({"a"})))
    assert ([row.seq for row in page.rows], page.has_more) == ([0, 2], False)
    page = ledger.store.result_page(job.id, only=ResultFilter(models=frozenset({"b"})))
    assert ([row.seq for row in page.rows], page.has_more) == ([], True)


def test_a_job_says_when_it_came_began_and_ended(ledger: Ledger) -> None:
    job = ledger.submit(1)
    came = job.created_at
    assert (job.started_at, job.finished_at) == (None, None)
    ledger.clock.advance(10)
    lease = ledger.claimed(ledger.keys(job)[0])
    ledger.clock.advance(10)
    ledger.finish(lease)
    done = ledger.store.get_job(job.id)
    assert done.created_at == came
    assert done.started_at is not None
    assert done.finished_at is not None
    assert 10 <= (done.started_at - came).total_seconds() < 60
    assert 10 <= (done.finished_at - done.started_at).total_seconds() < 60


def test_what_had_failed_before_a_cancel_stays_failed_and_is_counted_once(ledger: Ledger) -> None:
    job = ledger.submit(9)
    lease = ledger.claimed(ledger.keys(job)[0])
    ledger.store.settle(
        lease.key, lease.attempt,
        [Outcome(seq=0, status=DocumentStatus.FAILED, error_code="x", error_message="y")],
    )  # fmt: skip
    counts = ledger.store.cancel(job.id).counts
    assert (counts.failed, counts.cancelled, counts.queued, counts.running) == (1, 8, 0, 0)


def test_a_retry_forgets_crashes_of_every_document_however_many(ledger: Ledger) -> None:
    """Those of a document that had died once were kept: it was given up after two more."""
    job = ledger.submit(1)
    (key,) = ledger.keys(job)
    ledger.claimed(key)
    crash(ledger)
    crash_on(ledger, key, 0)
    read = ledger.store._database.read
    crashes = lambda: read(lambda c: c.exec_driver_sql("SELECT max(crash_count) FROM document").scalar())  # noqa: E731
    assert crashes() == 1
    ledger.store.cancel(job.id)
    ledger.store.retry(job.id)
    assert crashes() == 0


def test_a_deletion_takes_no_row_of_another_job_that_is_going(ledger: Ledger) -> None:
    going, mine, staying = (ledger.submit(3) for _ in range(3))
    for job in (going, mine):
        ledger.drain(job)
    row = ledger.store._database.read(
        lambda c: c.exec_driver_sql(f"SELECT id FROM job WHERE public_id = '{going.id}'").scalar()
    )
    ledger.store._database.write(lambda c: hide(c, [row]))
    ledger.store.delete(mine.id)
    counted = "SELECT count(*) FROM {}"
    read = ledger.store._database.read
    assert read(lambda c: c.exec_driver_sql(counted.format("job")).scalar()) == 2
    assert ledger.store.sweep(max_crashes=3).removed == 1
    left = [
        read(lambda c, t=table: c.exec_driver_sql(counted.format(t)).scalar())
        for table in ("job", "document")
    ]
    assert left == [1, 3]
    assert ledger.store.get_job(staying.id).counts.queued == 3


def test_a_job_between_two_blocks_of_its_retry_is_queued_to_everybody(ledger: Ledger) -> None:
    job = ledger.submit(2)
    ledger.store._database.write(lambda c: c.exec_driver_sql("UPDATE job SET status = 'reopening'") and None)
    assert ledger.store.get_job(job.id).status is JobStatus.QUEUED
    assert ids(ledger, only=JobFilter(status=JobStatus.QUEUED)) == [job.id]


def test_a_lease_that_was_renewed_ends_all_the_same_without_the_next_beat(ledger: Ledger) -> None:
    """A beat that set no end kept a slice for ever when its worker died."""
    key = ledger.keys(ledger.submit(1))[0]
    lease = ledger.claimed(key, lease_seconds=30)
    ledger.store.heartbeat({key: lease.attempt}, lease_seconds=30)
    ledger.clock.advance(31)
    assert ledger.store.sweep(max_crashes=3).released == 1


def test_a_lease_holds_the_documents_as_they_were_given(ledger: Ledger) -> None:
    given = NewDocument(
        seq=0, custom_id="a", task=Task.QA, model="m", text="why?", context="because", params={"top_k": 2}
    )
    expires_at = datetime(2100, 1, 1, tzinfo=UTC)
    job, _ = ledger.store.submit(NewJob(expires_at=expires_at), [given])
    (document,) = ledger.claimed(ledger.keys(job)[0]).documents
    assert (document.seq, document.text, document.context) == (0, "why?", "because")
    assert document.params == {"top_k": 2}
    assert ledger.store.get_job(job.id).expires_at == expires_at
