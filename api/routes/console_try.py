"""The page that tries one document: ahead of bulk work, with its answer and the same call for programs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from api.console.job_view import JobView
from api.console.one_document import OneDocument
from api.console.pages import PageRoute, page
from api.console.result_view import ResultView
from api.console.submit_page import ChoiceQuery
from api.console.visitor import ActingDep, JobOwnerDep, VisitorDep
from api.context import SMALL_BODY_BYTES, Context, ContextDep, in_thread, wait_for_change
from api.routes.console_live import place
from api.routes.console_submit import chosen_of
from api.submission import submit
from jobs.errors import InvalidRows, TextmillError
from jobs.keys import Caller
from jobs.params import InvalidParams
from jobs.records import Job

router = APIRouter(include_in_schema=False, route_class=PageRoute, max_body_size=SMALL_BODY_BYTES)
ADDRESS = "/console/try"
_WAIT_SECONDS = 20.0  # then the page asks anew, which shows that it still waits


@router.get(ADDRESS)
async def try_page(
    request: Request, context: ContextDep, visitor: VisitorDep, query: Annotated[ChoiceQuery, Query()]
) -> Response:
    """An empty form."""
    chosen = await in_thread(chosen_of, context, query, {})
    document = OneDocument(task=chosen.task, model=query.model)
    calls = document.calls(_server(request), has_keys=context.settings.has_keys)
    return page("try.html", visitor=visitor, choice=chosen, calls=calls)


@router.post("/console/call")
async def call(request: Request, context: ContextDep, visitor: ActingDep) -> Response:
    """The call as the form stands: a part of the page."""
    document = OneDocument.of(await _texts(request))
    calls = document.calls(_server(request), has_keys=context.settings.has_keys)
    return page("try_call.html", visitor=visitor, calls=calls)


@router.post(ADDRESS)
async def try_one(request: Request, context: ContextDep, visitor: ActingDep) -> Response:
    """Submits the document; the answer is a part that asks for its result."""
    texts = await _texts(request)
    job, refusal = await in_thread(_submit, context, texts, visitor.caller)
    view = None if job is None else JobView(context.rates.view(job))
    return page(
        "try_answer.html", visitor=visitor, status_code=200 if job else 422,
        view=view, result=None, refusal=refusal,
    )  # fmt: skip


@router.get(ADDRESS + "/{job_id}", dependencies=[Depends(place)])
async def answer(job_id: str, context: ContextDep, visitor: VisitorDep, owner: JobOwnerDep) -> Response:
    """The result, once it is there; after a while without one, the part that asks anew."""
    job = await in_thread(context.store.get_job, job_id, owner=owner)
    if not job.status.is_final:
        job = await wait_for_change(context, visitor.caller, job, _WAIT_SECONDS)
    result = await in_thread(_result, context, job)
    view = JobView(context.rates.view(job))
    return page("try_answer.html", visitor=visitor, view=view, result=result, refusal="")


async def _texts(request: Request) -> dict[str, str]:
    return {name: value for name, value in (await request.form()).items() if isinstance(value, str)}


def _submit(context: Context, texts: dict[str, str], caller: Caller) -> tuple[Job | None, str]:
    """The job; or None, and why there is none."""
    try:
        body = OneDocument.of(texts).body
        made = submit(context, body.fields, body.chunks, body.read, caller=caller, idempotency_key=None)
    except InvalidRows as error:
        return None, "; ".join(row.message for row in error.rows)
    except InvalidParams as error:
        return None, str(error)
    except TextmillError as error:
        if error.http_status >= 500:
            raise
        return None, str(error)
    return made[0], ""


def _result(context: Context, job: Job) -> ResultView | None:
    found = context.store.results(job.id, limit=1)
    if not found:
        return None
    return ResultView(found[0], context.console.view.sent(job.id, [0]).get(0))


def _server(request: Request) -> str:
    return str(request.base_url).rstrip("/")
