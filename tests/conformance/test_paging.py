"""W12: pages read one behind the other hold every result once, however documents finish."""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from jobs.listing import JobFilter
from jobs.records import (
    DocumentStatus,
    JobStatus,
    Lease,
    NewDocument,
    NewJob,
    Outcome,
    ResultFilter,
    ResultRow,
    Task,
)
from tests.support.ledger import Ledger, documents, succeeded

TASKS = (Task.SENTIMENT, Task.QA, Task.GENERATION)


def mixed(count: int) -> list[NewDocument]:
    """Documents of three tasks and four models in turn."""
    return [
        NewDocument(
            seq=seq, custom_id=f"row-{seq}", task=TASKS[seq % 3], model=f"m{seq % 4}", text="x", metadata={"seq": seq}
        )
        for seq in range(count)
    ]  # fmt: skip


def one_by_one(
    ledger: Ledger, job_id: str, order: random.Random, *, failing: int = 0
) -> list[tuple[Lease, Outcome]]:
    """One outcome for each document of the job, in any order; every third fails if asked."""
    tickets = ledger.store.take_window(job_id=job_id, window=1000, resend_after_seconds=0.0)
    outcomes = []
    for ticket in tickets:
        lease = ledger.claimed(ticket.key)
        for document in lease.documents:
            (outcome,) = succeeded([document.seq])
            if failing and document.seq % failing == 0:
                outcome = Outcome(
                    seq=document.seq, status=DocumentStatus.FAILED, error_code="x", error_message="y"
                )
            outcomes.append((lease, outcome))
    order.shuffle(outcomes)
    return outcomes


def read_on(ledger: Ledger, job_id: str, seen: list[ResultRow], limit: int, only: ResultFilter) -> bool:
    """Reads the next page behind what was seen; whether more may come."""
    after = seen[-1].seq if seen else -1
    page = ledger.store.result_page(job_id, after=after, limit=limit, only=only)
    assert len(page.rows) <= limit
    seen += page.rows
    return page.has_more


FILTERS = st.builds(
    ResultFilter,
    statuses=st.frozensets(st.sampled_from([DocumentStatus.SUCCEEDED, DocumentStatus.FAILED]), max_size=1),
    tasks=st.frozensets(st.sampled_from(TASKS), max_size=2),
    models=st.frozensets(st.sampled_from(["m0", "m1"]), max_size=1),
)


def test_any_order_of_finishing_and_any_pages_give_every_result_once(ledger: Ledger) -> None:
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        count=st.integers(1, 25), seed=st.integers(), only=FILTERS, pages=st.lists(st.integers(0, 5), min_size=1)
    )  # fmt: skip
    def check(count: int, seed: int, only: ResultFilter, pages: list[int]) -> None:
        job, _ = ledger.store.submit(NewJob(), mixed(count))
        order = random.Random(seed)
        seen: list[ResultRow] = []
        has_more = True
        for number, (lease, outcome) in enumerate(one_by_one(ledger, job.id, order, failing=3)):
            ledger.store.settle(lease.key, lease.attempt, [outcome])
            if has_more and (limit := pages[number % len(pages)]):
                has_more = read_on(ledger, job.id, seen, limit, only)  # False must mean it for good
        while has_more:
            has_more = read_on(ledger, job.id, seen, 4, only)
        everything = ledger.store.results(job.id)
        assert len(everything) == count
        assert seen == [
            row
            for row in everything
            if (not only.statuses or row.status in only.statuses)
            and (not only.tasks or row.task in only.tasks)
            and (not only.models or row.model in only.models)
        ]
        assert ledger.store.results(job.id, only=only) == seen
        assert ledger.store.count_results(job.id, only=only) == len(seen)
        assert ledger.store.count_results(job.id, after=3, only=only) == sum(row.seq > 3 for row in seen)

    check()


def test_a_page_ends_before_a_document_that_is_open_and_a_snapshot_does_not(ledger: Ledger) -> None:
    job = ledger.submit(4)
    outcomes = one_by_one(ledger, job.id, random.Random(1))
    for lease, outcome in outcomes:
        if outcome.seq != 1:
            ledger.store.settle(lease.key, lease.attempt, [outcome])
    page = ledger.store.result_page(job.id, limit=10)
    assert ([row.seq for row in page.rows], page.has_more) == ([0], True)
    page = ledger.store.result_page(job.id, after=0, limit=1)
    assert (page.rows, page.has_more) == ([], True)
    assert [row.seq for row in ledger.store.results(job.id)] == [0, 2, 3]
    for lease, outcome in outcomes:
        if outcome.seq == 1:
            ledger.store.settle(lease.key, lease.attempt, [outcome])
    page = ledger.store.result_page(job.id, after=0, limit=10)
    assert ([row.seq for row in page.rows], page.has_more) == ([1, 2, 3], False)


def test_a_filter_waits_only_for_documents_that_it_could_let_through(ledger: Ledger) -> None:
    job, _ = ledger.store.submit(NewJob(), mixed(6))
    for lease, outcome in one_by_one(ledger, job.id, random.Random(1)):
        if outcome.seq != 1:  # a document of qa stays open
            ledger.store.settle(lease.key, lease.attempt, [outcome])
    of = {
        task: ledger.store.result_page(job.id, only=ResultFilter(tasks=frozenset({task}))) for task in TASKS
    }
    assert [row.seq for row in of[Task.SENTIMENT].rows] == [0, 3]
    assert not of[Task.SENTIMENT].has_more
    assert (of[Task.QA].rows, of[Task.QA].has_more) == ([], True)


def test_jobs_are_found_by_the_tasks_and_models_of_their_documents(ledger: Ledger) -> None:
    """W26: `/v1/jobs?task=generation` listed every job."""
    plain, _ = ledger.store.submit(NewJob(task=Task.QA), documents(3, task=Task.QA, model="reader"))
    both, _ = ledger.store.submit(NewJob(), mixed(4))

    def found(**filters: object) -> list[str]:
        return [job.id for job in ledger.store.list_jobs(only=JobFilter(**filters))[0]]  # type: ignore[arg-type]

    assert found(task=Task.QA) == [both.id, plain.id]
    assert found(task=Task.GENERATION) == [both.id]
    assert found(model="reader") == [plain.id]
    assert found(model="m0", task=Task.QA) == []  # a document of both at once
    assert found(task=Task.QA, status=JobStatus.COMPLETED) == []
    assert ledger.store.models_of(both.id) == ["m0", "m1", "m2", "m3"]


def test_a_list_of_jobs_costs_as_many_queries_however_long_it_is(ledger: Ledger) -> None:
    """L17: one SUM for each job."""
    statements: list[str] = []
    event.listen(ledger.store._database.engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
    for _ in range(5):
        for key in ledger.keys(ledger.submit(3)):
            ledger.claimed(key)
    counts = []
    for limit in (1, 5):
        statements.clear()
        jobs, _ = ledger.store.list_jobs(limit=limit)
        assert [job.counts.running for job in jobs] == [3] * limit
        counts.append(len(statements))
    assert counts[0] == counts[1]


@pytest.mark.parametrize("has_gaps", [False, True])
def test_a_page_of_large_rows_ends_before_its_limit_and_the_next_goes_on(
    ledger: Ledger, has_gaps: bool
) -> None:
    """L7, its relative: a page was bounded by rows alone, 10,000 of them, and a row may hold a megabyte."""
    note = "x" * 900_000
    rows = (
        NewDocument(
            seq=n, custom_id=str(n), task=Task.SENTIMENT, model="m", text="t", metadata={"note": note}
        )
        for n in range(30)
    )
    job, _ = ledger.store.submit(NewJob(), rows)
    ledger.drain(job)
    seen: list[int] = []
    sizes: list[int] = []
    while len(seen) < 30:
        page = ledger.store.result_page(
            job.id, after=seen[-1] if seen else -1, limit=10_000, has_gaps=has_gaps
        )
        assert page.rows
        assert page.has_more == (page.rows[-1].seq < 29)
        seen += [row.seq for row in page.rows]
        sizes.append(len(page.rows) * len(note))
    assert seen == list(range(30))
    assert max(sizes) < 10_000_000
