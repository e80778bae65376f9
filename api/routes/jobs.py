"""`/v1/jobs`: submit, look, wait, list, cancel, retry, delete."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.datastructures import FormData

from api.bodies import Head, open_body, receive_form
from api.context import CallerDep, Context, ContextDep, OwnerDep, ReachDep, in_thread, wait_for_change
from api.examples import SUBMIT_BODY
from api.receiving import Receiver
from api.schemas import JobIn, JobOut, JobPage, SubmittedJobOut, query_parameters
from api.submission import submit
from api.webhook_schemas import JobWebhookOut, WebhookIn
from jobs.echo import echoed
from jobs.errors import UnknownModel
from jobs.keys import Caller
from jobs.listing import JobFilter
from jobs.records import Job, JobStatus, Priority, Task

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
_MAX_WAIT_SECONDS = 60.0
_TAKEN_AS_BULK = (
    "taken as bulk: the budget of interactive documents (TEXTMILL_MAX_INTERACTIVE_DOCUMENTS, or "
    "interactive_documents of the project) is used up"
)
_PREFER_WAIT = re.compile(r"\bwait\s*=\s*(\d+)")


class JobQuery(BaseModel):
    """What is asked of the list of jobs."""

    status: JobStatus | None = None
    task: Task | None = None
    model: str | None = None
    name: str | None = None
    tag: str | None = None
    prefix: Annotated[str | None, Field(description="How the id begins.")] = None
    after: str | None = None
    limit: Annotated[int, Field(ge=1, le=1000)] = 20

    @property
    def only(self) -> JobFilter:
        """The filters."""
        return JobFilter(**self.model_dump(exclude={"after", "limit"}))


@router.post(
    "",
    status_code=202,
    response_model=SubmittedJobOut,
    operation_id="submit_job",
    openapi_extra=SUBMIT_BODY | {"parameters": query_parameters(JobIn)},
)
async def submit_job(
    request: Request,
    context: ContextDep,
    caller: CallerDep,
    idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
) -> Response:
    """Accepts documents as JSON, JSONL, CSV, TXT or a form with a file; all of them or none."""
    head = Head.of(request)
    async with context.uploads.receive(request, caller.owner) as receiver:
        form = await receive_form(request, receiver) if head.declared.is_form else None
        try:
            job, webhook, notes = await context.uploads.in_thread(
                _submit, context, head, receiver, form, caller, idempotency_key
            )
        finally:
            if form is not None:
                await form.close()
    headers = {"Textmill-Note": "; ".join(notes)} if notes else {}
    return _answer(context, job, status_code=202, location=True, headers=headers, webhook=webhook)


@router.get("", response_model=JobPage, operation_id="list_jobs")
async def list_jobs(
    context: ContextDep,
    owner: ReachDep,
    query: Annotated[JobQuery, Query()],
) -> JobPage:
    """Jobs, newest first; with `task` or `model` those that hold documents of it."""
    jobs, cursor = await in_thread(
        context.store.list_jobs, owner=owner, only=query.only, after=query.after, limit=query.limit
    )
    if query.model is not None and not jobs:
        _check_model(context, query.model)
    return JobPage(data=[context.rates.view(job) for job in jobs], next=cursor)


@router.get("/{job_id}", response_model=JobOut, operation_id="get_job")
async def get_job(
    job_id: str,
    context: ContextDep,
    owner: OwnerDep,
    caller: CallerDep,
    wait: Annotated[float | None, Query(ge=0)] = None,
    prefer: Annotated[str | None, Header()] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """The job; with `wait` (or `Prefer: wait=N`) only once it has changed or the time is over.

    A change is measured against `If-None-Match` when it is given, else against the moment
    of the call.
    """
    asked = _PREFER_WAIT.search(prefer or "")
    seconds = min(_MAX_WAIT_SECONDS, wait if wait is not None else float(asked.group(1)) if asked else 0.0)
    job = await in_thread(context.store.get_job, job_id, owner=owner)
    if seconds and (if_none_match is None or if_none_match == _etag(job)):
        with context.streams.taken(caller.owner):
            job = await wait_for_change(context, caller, job, seconds)
    headers = {"Preference-Applied": f"wait={asked.group(1)}"} if asked and wait is None else {}
    if if_none_match == _etag(job):
        return Response(status_code=304, headers={"ETag": _etag(job), **headers})
    return _answer(context, job, headers=headers)


@router.post("/{job_id}/cancel", response_model=JobOut, operation_id="cancel_job")
async def cancel_job(job_id: str, context: ContextDep, owner: OwnerDep) -> Response:
    """Stops the job: no result is accepted after the answer; what succeeded stays."""
    return _answer(context, await in_thread(context.store.cancel, job_id, owner=owner))


@router.post("/{job_id}/retry", response_model=JobOut, status_code=202, operation_id="retry_job")
async def retry_job(job_id: str, context: ContextDep, owner: OwnerDep) -> Response:
    """Runs the documents that did not succeed again."""
    job = await in_thread(context.store.retry, job_id, owner=owner)
    context.sender.send_soon(job.id)
    return _answer(context, job, status_code=202, location=True)


@router.delete("/{job_id}", status_code=204, operation_id="delete_job")
async def delete_job(job_id: str, context: ContextDep, owner: OwnerDep) -> Response:
    """Removes a finished job with all its rows."""
    await in_thread(context.store.delete, job_id, owner=owner)
    return Response(status_code=204)


def _submit(
    context: Context, head: Head, receiver: Receiver, form: FormData | None, caller: Caller, key: str | None
) -> tuple[Job, JobWebhookOut | None, list[str]]:
    """Stores what a request carries; the job, its webhook, and what the caller may want to know."""
    with open_body(head, receiver, form, context.settings) as body:
        job, _ = submit(context, body.fields, body.chunks, body.read, caller=caller, idempotency_key=key)
        notes = [*body.notes]
        if body.fields.priority == "interactive" and job.priority is not Priority.INTERACTIVE:
            notes.append(_TAKEN_AS_BULK)
        return job, _webhook_of(context, job, body.fields.webhook), notes


def _webhook_of(context: Context, job: Job, asked: WebhookIn | None) -> JobWebhookOut | None:
    """The webhook that a job was submitted with; a repeat of the call hears its secret as well."""
    webhook = None if asked is None else context.webhooks.of_job(job)
    if asked is None or webhook is None:
        return None
    secret = context.webhooks.secret_of(webhook) if asked.secret is None else None
    return JobWebhookOut(id=webhook.id, url=webhook.url, events=list(webhook.events), secret=secret)


def _check_model(context: Context, name: str) -> None:
    """A model that no job had and nobody serves is a slip of the pen."""
    served = [entry.name for entry in context.catalogue.entries]
    if name not in served:
        raise UnknownModel(f"model {echoed(name)} is not known; served: {', '.join(served)}")


def _answer(
    context: Context,
    job: Job,
    *,
    status_code: int = 200,
    location: bool = False,
    headers: dict[str, Any] | None = None,
    webhook: JobWebhookOut | None = None,
) -> Response:
    sent = {"ETag": _etag(job), "Cache-Control": "no-cache", **(headers or {})}
    if location:
        sent |= {"Location": f"/v1/jobs/{job.id}", "Retry-After": "1"}
    view = context.rates.view(job)
    if webhook is not None:
        view = SubmittedJobOut(**view.model_dump(), webhook=webhook)
    return Response(
        view.model_dump_json(), status_code=status_code, media_type="application/json", headers=sent
    )


def _etag(job: Job) -> str:
    return f'"{job.version}"'
