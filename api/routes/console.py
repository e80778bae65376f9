"""`/`: a small console. Server-rendered; one script of ours keeps numbers fresh."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Annotated, Any

import jinja2
from fastapi import APIRouter, Query, Response
from fastapi.responses import HTMLResponse
from fastapi.sse import format_sse_event

from api.context import STREAMED, CallerDep, Context, ContextDep, OwnerDep, ReachDep, in_thread
from api.holdings import holdings
from api.streams import Stream
from jobs import jsontext
from jobs.keys import Caller, shown_project
from jobs.records import ResultRow

router = APIRouter(include_in_schema=False)
_SHOWN_JOBS, _SHOWN_RESULTS = 50, 20
_WORKER_AGE_SECONDS = 60.0
_FILES = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "docs.js": "text/javascript",
    "favicon.svg": "image/svg+xml",
    "swagger/swagger-ui.css": "text/css",
    "swagger/swagger-ui-bundle.js": "text/javascript",
}
_OWN = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
_CLOSED = "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_CONSOLE = {"Content-Security-Policy": f"{_OWN}img-src 'self'{_CLOSED}", "Cache-Control": "no-store"}
#: Swagger UI draws its icons from data in its style sheet.
_DOCS = {"Content-Security-Policy": f"{_OWN}img-src 'self' data:{_CLOSED}"}
_LOOK_SECONDS = 1.0
_QUIET_LOOKS = 15  # a comment line at least this often, so that proxies keep the link
_templates = jinja2.Environment(
    loader=jinja2.PackageLoader("api"), autoescape=True, trim_blocks=True, lstrip_blocks=True
)


@router.get("/")
async def index(context: ContextDep, caller: CallerDep, owner: ReachDep) -> Response:
    """Jobs, workers, and how far the project is from its limits."""
    return await in_thread(_index, context, caller, owner)


@router.get("/console/jobs/{job_id}")
async def job_page(
    job_id: str,
    context: ContextDep,
    owner: OwnerDep,
    after: Annotated[int, Query(ge=-1, le=2**31 - 1)] = -1,
) -> Response:
    """One job with a page of its results."""
    return await in_thread(_job, context, job_id, owner, after)


@router.get("/console/events", dependencies=[STREAMED])
async def events(context: ContextDep, caller: CallerDep, owner: ReachDep) -> Response:
    """Every change of the jobs that the page lists, in one stream: a browser has six connections."""
    return Stream(
        _changes(context, caller, owner),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


@router.get("/docs")
async def docs() -> Response:
    """The API's documentation, drawn by Swagger UI from this package."""
    return HTMLResponse(_templates.get_template("docs.html").render(), headers=_DOCS)


@router.get("/static/{name:path}")
async def static(name: str) -> Response:
    """The console's own files."""
    if name not in _FILES:
        return Response(status_code=404)
    data = await in_thread((files("api") / "static" / name).read_bytes)
    return Response(data, media_type=_FILES[name], headers={"Cache-Control": "max-age=3600"})


async def _changes(context: Context, caller: Caller, owner: str | None) -> AsyncIterator[bytes]:
    seen: dict[str, int] = {}
    num_quiet = 0
    while await in_thread(context.keys.holds, caller):
        jobs, _ = await in_thread(context.store.list_jobs, owner=owner, limit=_SHOWN_JOBS)
        changed = [job for job in jobs if seen.get(job.id) != job.version]
        seen = {job.id: job.version for job in jobs}
        views = [context.rates.view(job).model_dump(mode="json") for job in changed]
        num_quiet = 0 if views else num_quiet + 1
        if views:
            yield format_sse_event(data_str=jsontext.dumps(views).decode(), event="jobs", retry=2000)
        elif num_quiet % _QUIET_LOOKS == 0:
            yield format_sse_event(comment="still here")
        await asyncio.sleep(_LOOK_SECONDS)


def _index(context: Context, caller: Caller, owner: str | None) -> Response:
    jobs, _ = context.store.list_jobs(owner=owner, limit=_SHOWN_JOBS)
    workers = context.store.workers(max_age_seconds=_WORKER_AGE_SECONDS)
    return _page(
        "index.html",
        jobs=[context.rates.view(job) for job in jobs],
        workers=workers,
        project=None if owner is None else shown_project(owner),
        holdings=[] if owner is None else holdings(context, caller, owner),
    )


def _job(context: Context, job_id: str, owner: str, after: int) -> Response:
    job = context.rates.view(context.store.get_job(job_id, owner=owner))
    page = context.store.result_page(job_id, after=after, limit=_SHOWN_RESULTS)
    return _page(
        "job.html",
        job=job,
        rows=[(row, _short(row)) for row in page.rows],
        after=after,
        next=page.rows[-1].seq if page.has_more and not page.is_open_next else None,
        waits=page.is_open_next,
    )


def _short(row: ResultRow) -> str:
    if row.output is None:
        return row.error_message or ""
    return str(next((row.output[k] for k in ("text", "label", "answer") if k in row.output), ""))[:300]


def _page(name: str, **values: Any) -> Response:
    return HTMLResponse(_templates.get_template(name).render(**values), headers=_CONSOLE)
