"""L15: what the ledger is asked costs with a long past what it costs with none, in rows looked at."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from jobs.records import JobStatus, NewJob
from tests.support.finished_jobs import add_done_slices, add_past
from tests.support.ledger import Ledger, documents
from tests.support.visited import Visited

#: Each of their jobs and slices would be seen, were it looked at.
PAST = {"num_documents": 100_000, "num_jobs": 20_000}


def work_of_a_day(ledger: Ledger, *, num_done_slices: int) -> dict[str, Callable[[], object]]:
    """Every question that is asked while jobs come and go, of a job with slices done and waiting."""
    store = ledger.store
    job = ledger.submit(40, expires_at=datetime.now(UTC) + timedelta(days=1))
    other = ledger.submit(20)
    keys = ledger.keys(job)
    ledger.finish(ledger.claimed(keys[0]))
    lease = ledger.claimed(keys[1])
    add_done_slices(store._database, job.id, num_slices=num_done_slices)
    take = lambda **of: store.take_window(window=3, resend_after_seconds=60, **of)  # noqa: E731
    new = NewJob(idempotency_key=job.id, request_sha256="a")
    return {
        "submit": lambda: store.submit(new, documents(3)),
        "has_submission": lambda: store.has_submission(job.id),
        "backlog": store.backlog,
        "take_window": take,
        "take_window of a job": lambda: take(job_id=other.id),
        "claim": lambda: ledger.claim(keys[2]),
        "heartbeat": lambda: store.heartbeat({lease.key: lease.attempt}, lease_seconds=30),
        "settle": lambda: ledger.finish(lease),
        "sweep": lambda: store.sweep(max_crashes=3, keep_seconds=10**10),
        "get_job": lambda: store.get_job(job.id),
        "jobs": lambda: store.list_jobs(limit=5),
        "running jobs": lambda: store.list_jobs(limit=5, status=JobStatus.RUNNING),
        "results": lambda: store.results(job.id, limit=5),
        "page": lambda: store.result_page(job.id, limit=5),
        "cancel": lambda: store.cancel(job.id),
        "retry": lambda: store.retry(job.id),
        "delete": lambda: [store.cancel(job.id), store.delete(job.id)],
    }


def cost_of_a_day(ledger: Ledger, *, num_done_slices: int = 1) -> dict[str, int]:
    questions = work_of_a_day(ledger, num_done_slices=num_done_slices)
    visited = Visited(ledger.store._database)
    return {name: visited.by(question) for name, question in questions.items()}


def test_nothing_costs_more_for_what_is_done(ledger: Ledger) -> None:
    """L15: with 760,000 finished slices a submit's look at the backlog took 96 ms, a window 89 ms."""
    add_past(ledger.store._database, num_documents=1000, num_jobs=1000)  # for statistics both times
    before = cost_of_a_day(ledger)
    add_past(ledger.store._database, **PAST)
    after = cost_of_a_day(ledger)
    assert all(after.values())
    # Trees of indexes grow by a level; the past itself would add many thousands.
    dearer = {name: (before[name], after[name]) for name in before if after[name] > 1.2 * before[name] + 200}
    assert not dearer


def test_nothing_costs_more_for_what_is_done_of_the_same_job(ledger: Ledger) -> None:
    """L15's kind: a window of a job that is far along counted all its finished slices."""
    add_past(ledger.store._database, num_documents=1000, num_jobs=1000)
    before = cost_of_a_day(ledger, num_done_slices=100)
    after = cost_of_a_day(ledger, num_done_slices=20_000)
    walks = {"cancel", "retry", "delete"}  # block by block over all slices of the job
    dearer = {
        name: (before[name], after[name])
        for name in before.keys() - walks
        if after[name] > 1.2 * before[name] + 200
    }
    assert not dearer
