"""`/v1/batches`, as OpenAI's: jobs whose rows are requests of its endpoints and of ours."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request

from api.context import CallerDep, Context, ContextDep, in_thread
from api.openai.batches import BatchOut, BatchPage, batch_out
from api.openai.create_body import BatchIn
from api.openai.creation import create_batch as create
from jobs.batches import Batch
from jobs.errors import IllegalTransition
from jobs.keys import Caller

router = APIRouter(prefix="/v1/batches", tags=["batches"])


def _body() -> dict[str, object]:
    """The call's body in the OpenAPI document."""
    schema = BatchIn.model_json_schema()
    expires = schema.pop("$defs")["ExpiresAfter"]
    schema["properties"]["output_expires_after"] = {"anyOf": [expires, {"type": "null"}]}
    schema["properties"]["requests"] = {
        "type": "array",
        "items": {"type": "object"},
        "description": "Lines of the input file, given here instead of a file.",
    }
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


@router.post("", response_model=BatchOut, operation_id="create_batch", openapi_extra=_body())
async def create_batch(
    request: Request,
    context: ContextDep,
    caller: CallerDep,
    idempotency_key: Annotated[str | None, Header(max_length=255)] = None,
    x_stainless_retry_count: Annotated[str | None, Header(max_length=255)] = None,
) -> BatchOut:
    """Makes a batch of a file, or of the requests in the call.

    Every line is checked before the answer; when any is wrong, the batch has failed and `errors`
    says why. `endpoint` is that of all lines, or `/v1/*` where each names its own.
    """
    async with context.uploads.receive(request, caller.owner) as receiver:
        batch = await context.uploads.in_thread(
            lambda: create(
                context,
                receiver,
                caller,
                idempotency_key=idempotency_key,
                is_repeat=x_stainless_retry_count not in (None, "0"),
            )
        )
    return batch_out(batch)


@router.get("", response_model=BatchPage, operation_id="list_batches")
async def list_batches(
    context: ContextDep,
    caller: CallerDep,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
) -> BatchPage:
    """Batches, newest first."""
    found = await in_thread(context.batches.page, owner=caller.owner, after=after, limit=limit + 1)
    data = [batch_out(batch) for batch in found[:limit]]
    return BatchPage(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=len(found) > limit,
    )


@router.get("/{batch_id}", response_model=BatchOut, operation_id="get_batch")
async def get_batch(batch_id: str, context: ContextDep, caller: CallerDep) -> BatchOut:
    """The batch as it stands."""
    return batch_out(await in_thread(context.batches.get, batch_id, owner=caller.owner))


@router.post("/{batch_id}/cancel", response_model=BatchOut, operation_id="cancel_batch")
async def cancel_batch(batch_id: str, context: ContextDep, caller: CallerDep) -> BatchOut:
    """Stops the batch at once: what succeeded is in its output file."""
    return batch_out(await in_thread(_cancelled, context, caller, batch_id))


def _cancelled(context: Context, caller: Caller, batch_id: str) -> Batch:
    batch = context.batches.get(batch_id, owner=caller.owner)
    if batch.job is None or not batch.has_results:
        raise IllegalTransition(f"the batch {batch.id} has ended: nothing is left to cancel")
    context.store.cancel(batch.job.id, owner=caller.owner)
    return context.batches.get(batch_id, owner=caller.owner)
