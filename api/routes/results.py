"""`/v1/jobs/{id}/results` and `/events`: what there is so far, and what happens."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterable, Iterator
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Header, Query
from fastapi.responses import StreamingResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

from api.context import Context, ContextDep, OwnerDep, in_thread
from api.schemas import result_line
from jobs.records import Job, ResultRow

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"])
_PAGE = 2000
_QUIET_SECONDS = 15.0  # a comment line or event at least this often, so that proxies keep the link
#: A spreadsheet would run these as formulas (OWASP ASVS 5.0, 1.2.10).
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\0")
_COLUMNS = (
    "custom_id", "seq", "status", "task", "model", "output", "error_code", "error_message", "input_tokens",
    "output_tokens", "truncated", "details", "metadata",
)  # fmt: skip


@router.get("/results", operation_id="get_results", response_class=StreamingResponse)
async def get_results(
    job_id: str,
    context: ContextDep,
    owner: OwnerDep,
    format: Literal["jsonl", "csv"] = "jsonl",  # noqa: A002  # the name clients use
    after: Annotated[int, Query(ge=-1)] = -1,
    limit: Annotated[int | None, Query(ge=1)] = None,
) -> StreamingResponse:
    """Results so far, in input order, from the one after `after` on. Works while the job runs."""
    job = await in_thread(context.store.get_job, job_id, owner=owner)
    headers = {
        "Textmill-Job-Status": job.status,
        "Content-Disposition": f'attachment; filename="{job.id}.{format}"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-cache",
    }
    if limit is not None:
        page = await in_thread(context.store.results, job_id, after=after, limit=limit)
        if len(page) == limit and page[-1].seq + 1 < job.counts.total:
            query = f"format={format}&after={page[-1].seq}&limit={limit}"
            headers["Link"] = f'</v1/jobs/{job.id}/results?{query}>; rel="next"'
        pages: Iterator[list[ResultRow]] = iter([page])
    else:
        pages = _pages(context, job_id, after)
    body = _as_csv(pages) if format == "csv" else _as_jsonl(pages)
    kind = "text/csv; charset=utf-8" if format == "csv" else "application/x-ndjson"
    return StreamingResponse(body, media_type=kind, headers=headers)


async def _the_job(job_id: str, context: ContextDep, owner: OwnerDep) -> Job:
    """As a dependency: a stream that has begun could not answer 404 any more."""
    return await in_thread(context.store.get_job, job_id, owner=owner)


@router.get("/events", operation_id="get_events", response_class=EventSourceResponse)
async def get_events(
    context: ContextDep,
    job: Annotated[Job, Depends(_the_job)],
    last_event_id: Annotated[str | None, Header()] = None,
) -> AsyncIterable[ServerSentEvent]:
    """Server-Sent Events: `progress` at every change, `done` at the end.

    An event's id is the job's version; a client that comes back with `Last-Event-ID` hears
    of anything that changed meanwhile.
    """
    if last_event_id != str(job.version) or job.status.is_final:
        yield _event(context, job)
    while not job.status.is_final:
        before = job.version
        job = await context.changes.wait(job, _QUIET_SECONDS)
        if job.version != before:
            yield _event(context, job)
        else:
            yield ServerSentEvent(comment="still here")


def _event(context: Context, job: Job) -> ServerSentEvent:
    return ServerSentEvent(
        data=context.rates.view(job).model_dump(mode="json"),
        event="done" if job.status.is_final else "progress",
        id=str(job.version),
        retry=2000,
    )


def _pages(context: Context, job_id: str, after: int) -> Iterator[list[ResultRow]]:
    while page := context.store.results(job_id, after=after, limit=_PAGE):
        yield page
        after = page[-1].seq


def _as_jsonl(pages: Iterator[list[ResultRow]]) -> Iterator[bytes]:
    for page in pages:
        yield b"".join(orjson.dumps(result_line(row), option=orjson.OPT_APPEND_NEWLINE) for row in page)


def _as_csv(pages: Iterator[list[ResultRow]]) -> Iterator[bytes]:
    yield _csv_rows([_COLUMNS])
    for page in pages:
        yield _csv_rows([_csv_fields(row) for row in page])


def _csv_fields(row: ResultRow) -> tuple[Any, ...]:
    output = dict(row.output or {})
    main = next((output.pop(name) for name in ("text", "label", "answer") if name in output), "")
    return (
        row.custom_id, row.seq, row.status, row.task, row.model, main, row.error_code or "",
        row.error_message or "", row.input_tokens, row.output_tokens, str(row.truncated).lower(),
        orjson.dumps(output).decode() if output else "",
        orjson.dumps(dict(row.metadata)).decode() if row.metadata else "",
    )  # fmt: skip


def _csv_rows(rows: list[tuple[Any, ...]]) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerows([[_harmless(cell) for cell in row] for row in rows])
    return buffer.getvalue().encode()


def _harmless(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA_STARTS) else cell
