"""`/`: a small console. Server-rendered; one script of ours keeps numbers fresh."""

from __future__ import annotations

from importlib.resources import files
from typing import Annotated, Any

import jinja2
from fastapi import APIRouter, Query, Response
from fastapi.responses import HTMLResponse

from api.context import Context, ContextDep, OwnerDep, ReachDep, in_thread
from jobs.records import ResultRow

router = APIRouter(include_in_schema=False)
_SHOWN_JOBS, _SHOWN_RESULTS = 50, 20
_WORKER_AGE_SECONDS = 60.0
_FILES = {"console.css": "text/css", "console.js": "text/javascript", "favicon.svg": "image/svg+xml"}
_POLICY = {"Content-Security-Policy": "default-src 'self'", "X-Content-Type-Options": "nosniff"}
_templates = jinja2.Environment(
    loader=jinja2.PackageLoader("api"), autoescape=True, trim_blocks=True, lstrip_blocks=True
)


@router.get("/")
async def index(context: ContextDep, owner: ReachDep) -> Response:
    """Jobs and workers."""
    return await in_thread(_index, context, owner)


@router.get("/console/jobs/{job_id}")
async def job_page(
    job_id: str,
    context: ContextDep,
    owner: OwnerDep,
    after: Annotated[int, Query(ge=-1, le=2**31 - 1)] = -1,
) -> Response:
    """One job with a page of its results."""
    return await in_thread(_job, context, job_id, owner, after)


@router.get("/static/{name}")
async def static(name: str) -> Response:
    """The console's own files."""
    if name not in _FILES:
        return Response(status_code=404)
    return Response((files("api") / "static" / name).read_bytes(), media_type=_FILES[name], headers=_POLICY)


def _index(context: Context, owner: str | None) -> Response:
    jobs, _ = context.store.list_jobs(owner=owner, limit=_SHOWN_JOBS)
    workers = context.store.workers(max_age_seconds=_WORKER_AGE_SECONDS)
    return _page("index.html", jobs=[context.rates.view(job) for job in jobs], workers=workers)


def _job(context: Context, job_id: str, owner: str, after: int) -> Response:
    job = context.rates.view(context.store.get_job(job_id, owner=owner))
    page = context.store.result_page(job_id, after=after, limit=_SHOWN_RESULTS)
    is_full = len(page.rows) == _SHOWN_RESULTS
    return _page(
        "job.html",
        job=job,
        rows=[(row, _short(row)) for row in page.rows],
        after=after,
        next=page.rows[-1].seq if is_full and page.has_more else None,
        waits=page.has_more and not is_full,
    )


def _short(row: ResultRow) -> str:
    if row.output is None:
        return row.error_message or ""
    return str(next((row.output[k] for k in ("text", "label", "answer") if k in row.output), ""))[:300]


def _page(name: str, **values: Any) -> Response:
    return HTMLResponse(_templates.get_template(name).render(**values), headers=_POLICY)
