"""L15: what the ledger is asked costs with a long past what it costs with none, in rows looked at."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, update

from jobs.listing import JobFilter
from jobs.records import DocumentStatus, JobStatus, NewJob, ResultFilter, Task
from jobs.store import tables as t
from tests.support.finished_jobs import add_done_slices, add_past
from tests.support.ledger import Ledger, documents
from tests.support.visited import Visited

FAILED = ResultFilter(statuses=frozenset({DocumentStatus.FAILED}))
#: Each of their jobs and slices would be seen, were it looked at.
PAST = {"num_documents": 100_000, "num_jobs": 20_000}


def work_of_a_day(ledger: Ledger, **slices: int) -> dict[str, Callable[[], object]]:
    """Every question that is asked while jobs come and go, of a job with slices done and waiting."""
    store = ledger.store
    job = ledger.submit(40, expires_at=datetime.now(UTC) + timedelta(days=1))
    other = ledger.submit(20, name="few", tags=("few",))
    done = next(each for each in store.list_jobs(limit=100)[0] if each.status is JobStatus.COMPLETED)
    keys = ledger.keys(job)
    ledger.finish(ledger.claimed(keys[0]))
    lease = ledger.claimed(keys[1])
    add_done_slices(store.database, job.id, **slices)
    take = lambda **of: store.take_window(window=3, resend_after_seconds=60, **of)  # noqa: E731
    new = NewJob(idempotency_key=job.id, request_sha256="a")
    return {
        "submit": lambda: store.submit(new, documents(3)),
        "has_submission": lambda: store.has_submission(job.id),
        "backlog": store.backlog,
        "queued": store.queued,
        "take_window": take,
        "take_window of a job": lambda: take(job_id=other.id),
        "claim": lambda: ledger.claim(keys[2]),
        "heartbeat": lambda: store.heartbeat({lease.key: lease.attempt}, lease_seconds=30),
        "settle": lambda: ledger.finish(lease),
        "sweep": lambda: store.sweep(max_crashes=3, keep_seconds=10**10),
        "get_job": lambda: store.get_job(job.id),
        "jobs": lambda: store.list_jobs(limit=5),
        "running jobs": lambda: store.list_jobs(limit=5, only=JobFilter(status=JobStatus.RUNNING)),
        "jobs of a model": lambda: store.list_jobs(limit=5, only=JobFilter(model="m")),
        "jobs of a model that few have": lambda: store.list_jobs(limit=5, only=JobFilter(model="of-few")),
        "jobs of a name": lambda: store.list_jobs(limit=5, only=JobFilter(name="few")),
        "jobs of a tag": lambda: store.list_jobs(limit=5, only=JobFilter(tag="few")),
        "jobs of a tag, of everybody": lambda: store.list_jobs(
            limit=5, owner=None, only=JobFilter(tag="few")
        ),
        "a job by its prefix": lambda: store.list_jobs(limit=2, only=JobFilter(prefix=job.id[:-1])),
        "jobs of a task that few have": lambda: store.list_jobs(limit=5, only=JobFilter(task=Task.QA)),
        "results": lambda: store.results(job.id, limit=5),
        "results of a status": lambda: store.results(job.id, limit=5, only=FAILED),
        "results of a status of a finished job": lambda: store.results(done.id, limit=5, only=FAILED),
        "count of a status": lambda: store.count_results(done.id, only=FAILED),
        "page": lambda: store.result_page(job.id, limit=5),
        "cancel": lambda: store.cancel(job.id),
        "retry": lambda: store.retry(job.id),
        "delete": lambda: [store.cancel(job.id), store.delete(job.id)],
    }


def cost_of_a_day(ledger: Ledger, *, num_slices: int = 1, has_statistics: bool = True) -> dict[str, int]:
    questions = work_of_a_day(ledger, num_slices=num_slices, has_statistics=has_statistics)
    visited = Visited(ledger.store._database)
    return {name: visited.by(question) for name, question in questions.items()}


@pytest.mark.parametrize("has_statistics", [True, False], ids=["", "no statistics"])
def test_nothing_costs_more_for_what_is_done(ledger: Ledger, has_statistics: bool) -> None:
    """L15: with 760,000 finished slices a submit's look at the backlog took 96 ms, a window 89 ms.

    Of the same kind: an owner's quota, his jobs of a rare model, the few failures of a large job.
    """
    database = ledger.store.database
    add_past(database, num_documents=1000, num_jobs=1000, has_statistics=has_statistics)
    before = cost_of_a_day(ledger, has_statistics=has_statistics)
    add_past(database, **PAST, has_statistics=has_statistics)
    after = cost_of_a_day(ledger, has_statistics=has_statistics)
    if has_statistics and database.is_sqlite:
        # They say that a job has six results on average, and SQLite takes every job for such a one.
        del before["results of a status of a finished job"]
    assert all(after.values())
    # Trees of indexes grow by a level; the past itself would add many thousands.
    dearer = {name: (before[name], after[name]) for name in before if after[name] > 1.2 * before[name] + 200}
    assert not dearer


@pytest.mark.parametrize("only", [FAILED, ResultFilter()], ids=["failures", "all"])
def test_a_page_costs_the_same_wherever_it_begins(ledger: Ledger, only: ResultFilter) -> None:
    """L15's kind: PostgreSQL read a job's documents from its first to the page's, or up to its next failure."""
    store = ledger.store
    add_past(store.database, num_documents=100_000, num_jobs=1)
    job = max(store.list_jobs(limit=100)[0], key=lambda each: each.counts.total)

    def make_late_failures(connection: Connection) -> None:
        connection.execute(update(t.result).where(t.result.c.seq < 90_000).values(status="succeeded"))

    store.database.write(make_late_failures)
    visited = Visited(store.database)
    costs = [
        visited.by(lambda after=after: store.result_page(job.id, after=after, limit=50, only=only))  # type: ignore[misc]
        for after in (-1, 50_000, 95_000)
    ]
    assert max(costs) < 2 * min(costs) + 500


def test_nothing_costs_more_for_what_is_done_of_the_same_job(ledger: Ledger) -> None:
    """L15's kind: a window of a job that is far along counted all its finished slices."""
    add_past(ledger.store._database, num_documents=1000, num_jobs=1000)
    before = cost_of_a_day(ledger, num_slices=100)
    after = cost_of_a_day(ledger, num_slices=20_000)
    walks = {"cancel", "retry", "delete"}  # block by block over all slices of the job
    dearer = {
        name: (before[name], after[name])
        for name in before.keys() - walks
        if after[name] > 1.2 * before[name] + 200
    }
    assert not dearer
