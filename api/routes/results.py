"""`/v1/jobs/{id}/results` and `/events`: what there is so far, and what happens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Literal
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Header, Query
from fastapi.sse import format_sse_event
from pydantic import BaseModel, Field

from api.context import (
    STREAMED,
    CallerDep,
    Context,
    ContextDep,
    OwnerDep,
    in_thread,
    wait_for_change,
    while_key_holds,
)  # fmt: skip
from api.result_files import Writer, as_csv, as_jsonl, as_spreadsheet
from api.result_reading import Answer, answer
from api.streams import Stream
from jobs.echo import echoed
from jobs.errors import NotAuthenticated, RequestError
from jobs.keys import Caller
from jobs.records import DocumentStatus, Job, ResultFilter, Task

router = APIRouter(prefix="/v1/jobs/{job_id}", tags=["results"])
_MAX_LIMIT = 10_000  # a page is held whole
_MAX_SEQ = 2**31 - 1
_LOOK_AGAIN_SECONDS = 1
_QUIET_SECONDS = 15.0  # a comment line or event at least this often, so that proxies keep the link


class ResultQuery(BaseModel):
    """What is asked of a job's results."""

    format: Literal["jsonl", "csv"] = "jsonl"
    after: Annotated[int | None, Field(ge=-1, le=_MAX_SEQ)] = None
    limit: Annotated[int | None, Field(ge=1, le=_MAX_LIMIT)] = None
    gaps: bool | None = None
    spreadsheet: bool = False
    status: list[Literal["succeeded", "failed", "cancelled", "expired"]] = []
    task: list[Task] = []
    model: list[str] = []

    @property
    def only(self) -> ResultFilter:
        """The filters."""
        return ResultFilter(
            statuses=frozenset(DocumentStatus(status) for status in self.status),
            tasks=frozenset(self.task),
            models=frozenset(self.model),
        )

    @property
    def has_gaps(self) -> bool:
        """Whether documents still open are passed over: by itself only in a look at all there is."""
        return (self.after is None and self.limit is None) if self.gaps is None else self.gaps

    @property
    def writer(self) -> Writer:
        """What makes the file of it."""
        if self.format == "jsonl":
            return as_jsonl
        return as_spreadsheet if self.spreadsheet else as_csv

    def behind(self, seq: int) -> str:
        """The same question from another place on, as a query string."""
        asked = self.model_dump(mode="json", exclude_unset=True) | {"after": seq}
        words = {k: str(v).lower() if isinstance(v, bool) else v for k, v in asked.items()}
        return urlencode(words, doseq=True)


@router.get("/results", operation_id="get_results", response_class=Stream, dependencies=[STREAMED])
async def get_results(
    job_id: str,
    context: ContextDep,
    caller: CallerDep,
    owner: OwnerDep,
    query: Annotated[ResultQuery, Query()],
) -> Stream:
    """Results so far, in input order. Works while the job runs.

    With `after` or `limit` the answer ends before the first document that is still open:
    following `Link: rel="next"`, or `after` the last `seq`, to the end gives every result
    once. A page may be empty; `Retry-After` says when to look again. Without both, it is a
    look at everything that is settled, gaps and all, and the link leads to the first gap.
    `gaps` says which of the two is meant.

    `Textmill-Result-Count` is the number of results in the answer, where it is known
    beforehand: for every page, and for all results of a finished job. An answer that fails
    half way breaks off; it never ends in order.
    """
    if query.spreadsheet and query.format != "csv":
        raise RequestError("spreadsheet=true needs format=csv")
    job = await in_thread(context.store.get_job, job_id, owner=owner)
    if query.model:
        await in_thread(_check_models, context, job, query.model)
    found = await in_thread(
        answer,
        context.store,
        job,
        after=-1 if query.after is None else query.after,
        limit=query.limit,
        only=query.only,
        has_gaps=query.has_gaps,
    )
    kind = "text/csv; charset=utf-8" if query.format == "csv" else "application/x-ndjson"
    pages = while_key_holds(context, caller, found.pages)
    return Stream(query.writer(pages), media_type=kind, headers=_headers(job, query, found))


def _headers(job: Job, query: ResultQuery, found: Answer) -> dict[str, str]:
    headers = {
        "Textmill-Job-Status": str(job.status),
        "Content-Disposition": f'attachment; filename="{job.id}.{query.format}"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-cache",
    }
    if found.count is not None:
        headers["Textmill-Result-Count"] = str(found.count)
    if found.next_after is not None:
        headers["Link"] = f'</v1/jobs/{job.id}/results?{query.behind(found.next_after)}>; rel="next"'
        if not found.count:
            headers["Retry-After"] = str(_LOOK_AGAIN_SECONDS)
    return headers


def _check_models(context: Context, job: Job, names: list[str]) -> None:
    """A model that is neither served nor in the job is a slip of the pen."""
    served = {entry.name for entry in context.catalogue.entries}
    if unknown := [name for name in names if name not in served]:
        of_job = context.store.models_of(job.id)
        if strange := [name for name in unknown if name not in of_job]:
            raise RequestError(
                f"model {echoed(strange[0])} is not known; the models of this job: {', '.join(of_job)}"
            )


async def _the_job(job_id: str, context: ContextDep, owner: OwnerDep) -> Job:
    """As a dependency: a stream that has begun could not answer 404 any more."""
    return await in_thread(context.store.get_job, job_id, owner=owner)


@router.get(
    "/events",
    operation_id="get_events",
    response_class=Stream,
    responses={200: {"content": {"text/event-stream": {}}}},
    dependencies=[STREAMED],
)
async def get_events(
    context: ContextDep,
    caller: CallerDep,
    job: Annotated[Job, Depends(_the_job)],
    last_event_id: Annotated[str | None, Header()] = None,
) -> Stream:
    """Server-Sent Events: `progress` at every change, `done` at the end.

    An event's id is the job's version; a client that comes back with `Last-Event-ID` hears
    of anything that changed meanwhile.
    """
    # Not FastAPI's EventSourceResponse: that one ends a stream in order when its generator fails.
    return Stream(
        _events(context, caller, job, last_event_id),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


async def _events(
    context: Context, caller: Caller, job: Job, last_event_id: str | None
) -> AsyncIterator[bytes]:
    if last_event_id != str(job.version) or job.status.is_final:
        yield _event(context, job)
    while not job.status.is_final:
        before = job.version
        try:
            job = await wait_for_change(context, caller, job, _QUIET_SECONDS)
        except NotAuthenticated:
            return  # the client comes back, and hears why
        yield _event(context, job) if job.version != before else format_sse_event(comment="still here")


def _event(context: Context, job: Job) -> bytes:
    return format_sse_event(
        data_str=context.rates.view(job).model_dump_json(),
        event="done" if job.status.is_final else "progress",
        id=str(job.version),
        retry=2000,
    )
