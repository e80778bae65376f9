"""The page that submits a file: its preview, the fields of its task, and the submission itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import FormData

from api.bodies import receive_form
from api.console.draft import PASTED, Draft
from api.console.job_list import ADDRESS as JOBS
from api.console.pages import PageRoute, page
from api.console.preview import Preview, look_at
from api.console.submit_page import Choice, ChoiceQuery, choice
from api.console.visitor import TOKEN_FIELD, Visitor, VisitorDep, check_origin, check_token
from api.context import Context, ContextDep, in_thread
from api.serving import how_models_stand
from api.submission import submit
from jobs.errors import InvalidRows, RequestError, TextmillError
from jobs.params import InvalidParams
from jobs.records import Job

router = APIRouter(include_in_schema=False, route_class=PageRoute)
ADDRESS = "/console/submit"
_MOST_FIELDS = 300  # a table has a choice for each of its columns
T = TypeVar("T")


@router.get(ADDRESS)
async def submit_page(
    context: ContextDep, visitor: VisitorDep, query: Annotated[ChoiceQuery, Query()]
) -> Response:
    """An empty form."""
    chosen = await in_thread(chosen_of, context, query, {})
    return page("submit.html", visitor=visitor, choice=chosen, preview=None, pasted=PASTED)


@router.get(ADDRESS + "/fields")
async def submit_fields(
    request: Request, context: ContextDep, visitor: VisitorDep, query: Annotated[ChoiceQuery, Query()]
) -> Response:
    """The models of a task and the parameters of one: a part of the page, for another choice."""
    given = {name: value for name, value in request.query_params.items() if name.startswith("params.")}
    chosen = await in_thread(chosen_of, context, query, given)
    return page("submit_fields.html", visitor=visitor, choice=chosen)


@router.post(ADDRESS + "/preview")
async def preview(request: Request, context: ContextDep, visitor: VisitorDep) -> Response:
    """The first rows as they will be read, and what is wrong with any; nothing is stored."""
    found = await _with_form(request, context, visitor, _preview)
    return page("submit_preview.html", visitor=visitor, preview=found)


@router.post(ADDRESS)
async def submit_file(request: Request, context: ContextDep, visitor: VisitorDep) -> Response:
    """Submits it, and goes to the job; or says what is wrong, and stores nothing."""
    job, found = await _with_form(request, context, visitor, _submit)
    is_part = "hx-request" in request.headers
    if job is not None:
        there = f"{JOBS}/{job.id}"
        return (
            Response(status_code=204, headers={"HX-Redirect": there})
            if is_part
            else RedirectResponse(there, status_code=303)
        )
    if is_part:
        return page("submit_preview.html", visitor=visitor, status_code=422, preview=found)
    chosen = await in_thread(chosen_of, context, ChoiceQuery(), {})
    return page("submit.html", visitor=visitor, status_code=422, choice=chosen, preview=found, pasted=PASTED)


def chosen_of(context: Context, query: ChoiceQuery, given: dict[str, str]) -> Choice:
    """What may be chosen, with what workers tell of it."""
    return choice(context.catalogue, how_models_stand(context), query, given)


async def _with_form(
    request: Request, context: Context, visitor: Visitor, work: Callable[[Context, Visitor, FormData], T]
) -> T:
    """Takes a form in as a submission is taken in, and works on it beside the event loop."""
    check_origin(request)
    async with context.uploads.receive(request, visitor.caller.owner) as receiver:
        form = await receive_form(request, receiver, max_fields=_MOST_FIELDS)
        try:
            check_token(context, visitor, form.get(TOKEN_FIELD))
            return await context.uploads.in_thread(work, context, visitor, form)
        finally:
            await form.close()


def _preview(context: Context, visitor: Visitor, form: FormData) -> Preview:
    try:
        draft = Draft.of(form)
    except RequestError as error:
        return Preview(refusal=str(error))
    return look_at(draft, context.settings, context.catalogue, how_models_stand(context), visitor.caller)


def _submit(context: Context, visitor: Visitor, form: FormData) -> tuple[Job | None, Preview]:
    """The job; or None, and what is wrong."""
    try:
        body = Draft.of(form).body(context.settings)
        job, _ = submit(
            context, body.fields, body.chunks, body.read, caller=visitor.caller, idempotency_key=None
        )
        return job, Preview()
    except InvalidRows:
        return None, _preview(context, visitor, form)
    except (InvalidParams, TextmillError) as error:
        if isinstance(error, TextmillError) and error.http_status >= 500:
            raise
        return None, Preview(refusal=str(error))
