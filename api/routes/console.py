"""The console's pages: overview, jobs, a job with its results."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.console.actions import said
from api.console.job_list import PAGE_SIZE as JOBS_SHOWN
from api.console.job_list import JobList, ListQuery
from api.console.job_page import PAGE_SIZE as RESULTS_SHOWN
from api.console.job_page import JobPage, PageQuery
from api.console.job_view import JobView
from api.console.overview import SHOWN_RUNNING, Disk, Overview
from api.console.pages import PageRoute, page
from api.console.reasons import failure_panel
from api.console.record import record_rows
from api.console.result_view import ResultView
from api.console.visitor import JobOwnerDep, Visitor, VisitorDep
from api.context import Context, ContextDep, in_thread
from api.holdings import holdings
from api.routes.console_serving import workers_seen
from jobs.listing import JobSearch
from jobs.records import Job, JobStatus

router = APIRouter(include_in_schema=False, route_class=PageRoute)
_LATELY = timedelta(hours=24)


@router.get("/")
async def overview(context: ContextDep, visitor: VisitorDep) -> Response:
    """What runs, on which workers, and how far the project is from its limits."""
    return await in_thread(_overview, context, visitor)


@router.get("/console/jobs")
async def job_list(
    context: ContextDep, visitor: VisitorDep, query: Annotated[ListQuery, Query()], done: str = ""
) -> Response:
    """A page of jobs, as the address asks for them."""
    return await in_thread(_job_list, context, visitor, query, done)


@router.get("/console/jobs/{job_id}")
async def job_page(
    job_id: str,
    context: ContextDep,
    visitor: VisitorDep,
    owner: JobOwnerDep,
    query: Annotated[PageQuery, Query()],
    done: str = "",
) -> Response:
    """One job with a page of its results."""
    return await in_thread(_job_page, context, visitor, job_id, owner, query, done)


def _overview(context: Context, visitor: Visitor) -> Response:
    view, owner = context.console.view, visitor.owner
    search = JobSearch(statuses=frozenset({JobStatus.RUNNING, JobStatus.CANCELLING}))
    rows = _rows(context, view.search(search, owner=owner, limit=SHOWN_RUNNING).jobs)
    sees_all = owner is None or visitor.is_open
    shown = Overview(
        counts=view.counts(owner=owner),
        workers=workers_seen(context, owner),
        moments=context.console.throughput.moments(owner=owner),
        queue=view.queue(owner=owner),
        failures=view.recent_failures(owner=owner, since=datetime.now(UTC) - _LATELY),
        disk=_disk(context) if sees_all else None,
    )
    limits = [] if owner is None else holdings(context, visitor.caller, owner)
    return page("overview.html", visitor=visitor, overview=shown, rows=rows, limits=limits)


def _disk(context: Context) -> Disk:
    usage = shutil.disk_usage(context.settings.data)
    return Disk(context.console.view.database_bytes(), usage.used, usage.free)


def _job_list(context: Context, visitor: Visitor, query: ListQuery, done: str) -> Response:
    view = context.console.view
    found = view.search(
        query.search, owner=visitor.owner, after=query.after, before=query.before, limit=JOBS_SHOWN
    )
    rows = _rows(context, found.jobs)
    shown = JobList(
        query=query,
        jobs=[row for row, _ in rows],
        found=found,
        counts=view.counts(owner=visitor.owner),
        models=[entry.name for entry in context.catalogue.entries],
    )
    kept = query.model_dump(mode="json", exclude={"q", "after", "before"}, exclude_defaults=True)
    return page(
        "jobs.html", visitor=visitor, list=shown, rows=rows, hidden=list(kept.items()), said=said(done)
    )


def _job_page(
    context: Context, visitor: Visitor, job_id: str, owner: str, query: PageQuery, done: str
) -> Response:
    job = context.store.get_job(job_id, owner=owner)
    view = context.console.view
    found = context.store.result_page(job_id, after=query.behind, limit=RESULTS_SHOWN, only=query.only)
    sent = view.sent(job_id, [row.seq for row in found.rows])
    shown = JobPage(
        view=JobView(context.rates.view(job)),
        version=job.version,
        query=query,
        found=found,
        results=[ResultView(row, sent.get(row.seq)) for row in found.rows],
        failures=failure_panel(job, view.failures(job_id)),
        record=record_rows(job, view.record(job_id)),
    )
    return page("job.html", visitor=visitor, page=shown, said=said(done))


def _rows(context: Context, jobs: list[Job]) -> list[tuple[JobView, int]]:
    """Each job with the version that the page shows, from which the live stream goes on."""
    return [(JobView(context.rates.view(job)), job.version) for job in jobs]
