"""Lists of jobs and what is told of one, on every database."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from jobs.errors import JobNotFound
from jobs.listing import JobOrder, JobSearch
from jobs.records import DocumentStatus, Job, JobStatus, Lease, NewDocument, NewJob, Outcome, Task
from jobs.store import listing
from jobs.store import tables as t
from jobs.store.ledger_view import LedgerView
from tests.support.ledger import Ledger


@pytest.fixture
def view(ledger: Ledger) -> LedgerView:
    return LedgerView(ledger.store.database)


def names(view: LedgerView, search: JobSearch, *, limit: int = 3, owner: str | None = "") -> list[str]:
    """All jobs of a search, page by page; walked back, they are the same."""
    found = view.search(search, owner=owner, limit=limit)
    pages = [found]
    while found.after:
        found = view.search(search, owner=owner, after=found.after, limit=limit)
        pages.append(found)
    back = [found]
    while found.before and len(back) < len(pages):
        found = view.search(search, owner=owner, before=found.before, limit=limit)
        back.append(found)
    whole = [job.id for page in pages for job in page.jobs]
    assert [job.id for page in reversed(back) for job in page.jobs] == whole
    return whole


def fail(ledger: Ledger, job: Job, *, codes: list[str]) -> None:
    def work(lease: Lease) -> None:
        done = [
            Outcome(
                seq=d.seq,
                status=DocumentStatus.FAILED,
                error_code=codes[d.seq % len(codes)],
                error_message=f"m{d.seq}",
            )
            for d in lease.documents
        ]
        ledger.store.settle(lease.key, lease.attempt, done)

    ledger.drain(job, work)


def test_every_order_and_filter_is_walked_page_by_page_and_back(ledger: Ledger, view: LedgerView) -> None:
    jobs = [ledger.submit(1 + n % 4, metadata={"n": n, "name": f"Größe {n}"}, model="m") for n in range(10)]
    fail(ledger, jobs[3], codes=["x"])
    fail(ledger, jobs[6], codes=["x"])
    ledger.drain(jobs[7])
    ids = [job.id for job in jobs]
    assert names(view, JobSearch()) == ids[::-1]
    assert names(view, JobSearch(order=JobOrder.OLDEST)) == ids
    by_size = sorted(range(10), key=lambda n: (-(1 + n % 4), -n))
    assert names(view, JobSearch(order=JobOrder.LARGEST)) == [ids[n] for n in by_size]
    assert names(view, JobSearch(order=JobOrder.MOST_FAILED))[:2] == [ids[3], ids[6]]
    assert names(view, JobSearch(has_failures=True)) == [ids[6], ids[3]]
    assert names(view, JobSearch(statuses=frozenset({JobStatus.COMPLETED}))) == [ids[7]]
    assert names(view, JobSearch(words="größe 4")) in ([ids[4]], []), "SQLite folds no letters beyond ASCII"
    assert names(view, JobSearch(words="Größe 4")) == [ids[4]]
    assert names(view, JobSearch(words=ids[2])) == [ids[2]]
    assert names(view, JobSearch(words=ids[2][:-1])) == [ids[2]]
    assert names(view, JobSearch(words="m"))[0] == ids[9], "a model"
    assert names(view, JobSearch(words="%")) == [], "a sign of LIKE is a sign"
    assert names(view, JobSearch(), owner="somebody else") == []
    assert view.counts(owner="") == {JobStatus.QUEUED: 7, JobStatus.FAILED: 2, JobStatus.COMPLETED: 1}
    assert view.newest(owner=None) == ids[9]
    assert [job.id for job in view.jobs([ids[1], "unknown"])] == [ids[1]]


def test_jobs_that_hold_documents_of_a_task_or_model_are_found(ledger: Ledger, view: LedgerView) -> None:
    rows = [
        NewDocument(seq=n, custom_id=str(n), task=task, model=f"m-{task}", text="x")
        for n, task in enumerate((Task.QA, Task.SENTIMENT))
    ]
    mixed, _ = ledger.store.submit(NewJob(), rows)
    plain = ledger.submit(2)
    assert names(view, JobSearch(task=Task.QA)) == [mixed.id]
    assert names(view, JobSearch(task=Task.SENTIMENT)) == [plain.id, mixed.id]
    assert names(view, JobSearch(model="m-qa"), owner=None) == [mixed.id]


def test_no_search_looks_at_more_than_its_bound_and_says_where_it_stopped(
    ledger: Ledger, view: LedgerView, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many jobs there are, none of its pages reads them all."""
    monkeypatch.setattr(listing, "MOST_LOOKED_AT", 4)
    ids = [ledger.submit(1, metadata={"name": "rare" if n == 1 else "plain"}).id for n in range(10)]
    search = JobSearch(words="rare")
    first = view.search(search, owner="", limit=3)
    assert (first.jobs, first.after, first.looked_at) == ([], ids[6], 4)
    second = view.search(search, owner="", after=first.after, limit=3)
    assert (second.jobs, second.after) == ([], ids[2])
    third = view.search(search, owner="", after=second.after, limit=3)
    assert ([job.id for job in third.jobs], third.after) == ([ids[1]], None)
    assert [job.id for job in view.search(JobSearch(order=JobOrder.LARGEST), owner="", limit=9).jobs] == ids[
        :5:-1
    ]


def test_a_cursor_whose_job_is_gone_or_anothers_begins_anew(ledger: Ledger, view: LedgerView) -> None:
    job = ledger.submit(1)
    for cursor in ("job_gone", "\0", "%"):
        assert [found.id for found in view.search(JobSearch(), owner="", after=cursor).jobs] == [job.id]


def test_failures_are_grouped_by_reason_with_examples(
    ledger: Ledger, view: LedgerView, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ledger.submit(10)
    fail(ledger, job, codes=["too_long", "too_long", "worker_lost"])
    found = view.failures(job.id)
    assert [(group.code, group.count) for group in found.groups] == [("too_long", 7), ("worker_lost", 3)]
    assert [(e.seq, e.custom_id, e.message) for e in found.groups[0].examples] == [
        (0, "row-0", "m0"), (1, "row-1", "m1"), (3, "row-3", "m3"),
    ]  # fmt: skip
    assert (found.looked_at, found.is_whole) == (10, True)
    monkeypatch.setattr("jobs.store.insight.MOST_FAILURES", 4)
    part = view.failures(job.id)
    assert (part.looked_at, part.is_whole) == (4, False)
    with pytest.raises(JobNotFound):
        view.failures("job_gone")


def test_what_was_sent_and_how_results_came_about_is_told(ledger: Ledger, view: LedgerView) -> None:
    row = NewDocument(
        seq=0, custom_id="a", task=Task.QA, model="m", text="x" * 5000, context="c", params={"top_k": 2}
    )
    job, _ = ledger.store.submit(NewJob(params={"top_k": 1}, stored_bytes=77), [row])
    sent = view.sent(job.id, [0, 7])[0]
    assert (len(sent.text), sent.num_characters, sent.context, sent.params) == (4000, 5000, "c", {"top_k": 2})
    assert view.record(job.id).models[0].provenance is None

    def work(lease: Lease) -> None:
        done = Outcome(
            seq=0, status=DocumentStatus.SUCCEEDED, output={"answer": "c"}, provenance={"dtype": "float32"}
        )
        ledger.store.settle(lease.key, lease.attempt, [done])

    ledger.drain(job, work)
    record = view.record(job.id)
    assert (record.params, record.stored_bytes) == ({"top_k": 1}, 77)
    assert [(of.task, of.model, of.provenance) for of in record.models] == [
        (Task.QA, "m", {"dtype": "float32"})
    ]


def test_what_is_tried_again_counts_as_no_failure(ledger: Ledger, view: LedgerView) -> None:
    job = ledger.submit(4)
    fail(ledger, job, codes=["x"])
    database = ledger.store.database
    database.write(lambda connection: connection.execute(update(t.job).values(reopen_from=0)) and None)
    assert view.failures(job.id).groups == ()
