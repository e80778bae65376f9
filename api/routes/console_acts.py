"""What the console's forms do: cancel, retry and delete jobs; each needs the token of its session."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Form, Response
from fastapi.responses import RedirectResponse

from api.console.actions import DELETED, act
from api.console.job_list import ADDRESS
from api.console.pages import PageRoute
from api.console.visitor import ActingDep, JobOwnerDep
from api.context import SMALL_BODY_BYTES, Context, ContextDep, in_thread

router = APIRouter(include_in_schema=False, route_class=PageRoute, max_body_size=SMALL_BODY_BYTES)
Verb = Literal["cancel", "retry", "delete"]


@router.post(ADDRESS)
async def act_on_jobs(
    context: ContextDep,
    visitor: ActingDep,
    act_: Annotated[Verb, Form(alias="act")],
    job: Annotated[list[str], Form()] = [],  # noqa: B006  # FastAPI copies it
) -> Response:
    """Does the same to every job that was selected."""
    told = await in_thread(act, context, act_, job, owner=visitor.owner)
    return _to(f"{ADDRESS}?done={told}")


@router.post(ADDRESS + "/{job_id}/cancel")
async def cancel_job(job_id: str, context: ContextDep, visitor: ActingDep, owner: JobOwnerDep) -> Response:
    """Stops one job."""
    return _to(f"{ADDRESS}/{job_id}?done={await _on_one(context, 'cancel', job_id, owner)}")


@router.post(ADDRESS + "/{job_id}/retry")
async def retry_job(job_id: str, context: ContextDep, visitor: ActingDep, owner: JobOwnerDep) -> Response:
    """Runs what did not succeed again."""
    return _to(f"{ADDRESS}/{job_id}?done={await _on_one(context, 'retry', job_id, owner)}")


@router.post(ADDRESS + "/{job_id}/delete")
async def delete_job(job_id: str, context: ContextDep, visitor: ActingDep, owner: JobOwnerDep) -> Response:
    """Removes one job; the list is what is left to look at."""
    told = await _on_one(context, "delete", job_id, owner)
    return _to(f"{ADDRESS if told == DELETED else f'{ADDRESS}/{job_id}'}?done={told}")


async def _on_one(context: Context, verb: Verb, job_id: str, owner: str) -> str:
    await in_thread(context.store.get_job, job_id, owner=owner)  # or there is none
    return await in_thread(act, context, verb, [job_id], owner=owner)


def _to(address: str) -> Response:
    return RedirectResponse(address, status_code=303)
