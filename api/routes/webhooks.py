"""`/v1/webhooks`: who is told when jobs end; what was delivered, and sending it again."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from api.context import SMALL_BODY_BYTES, CallerDep, ContextDep, ReachDep, acting_for, in_thread
from api.webhook_schemas import (
    ChangeIn,
    DeliveryOut,
    DeliveryPage,
    MadeWebhookOut,
    ProjectWebhookIn,
    ReplayedOut,
    ReplayIn,
    RotateSecretIn,
    WebhookList,
    WebhookOut,
    delivery_out,
    webhook_fields,
)
from jobs.store.webhook_book import WebhookBook
from jobs.webhooks.records import DeliveryState, Webhook

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"], max_body_size=SMALL_BODY_BYTES)


def _scope(caller: CallerDep) -> str | None:
    """Whose webhooks a call may name; None: everybody's, for an administrator."""
    return None if caller.is_admin else caller.owner


ScopeDep = Annotated[str | None, Depends(_scope)]


@router.get("", response_model=WebhookList, operation_id="list_webhooks")
async def list_webhooks(context: ContextDep, owner: ReachDep, job: str | None = None) -> WebhookList:
    """Webhooks of the project, or with `job` the one that was submitted with it."""
    found = await in_thread(context.webhooks.all, owner=owner, job_id=job)
    return WebhookList(data=[WebhookOut(**webhook_fields(each)) for each in found])


@router.post("", response_model=MadeWebhookOut, status_code=201, operation_id="create_webhook")
async def create_webhook(context: ContextDep, caller: CallerDep, wanted: ProjectWebhookIn) -> MadeWebhookOut:
    """A webhook that is told when jobs of the project end."""

    def work() -> MadeWebhookOut:
        owner = acting_for(context, caller, wanted.project).owner
        new = context.webhooks.new(wanted.url, events=wanted.events, secret=wanted.secret)
        return _made(context.webhooks, context.webhooks.add(new, owner=owner))

    return await in_thread(work)


@router.get("/{webhook_id}", response_model=WebhookOut, operation_id="get_webhook")
async def get_webhook(webhook_id: str, context: ContextDep, owner: ScopeDep) -> WebhookOut:
    """One webhook."""
    return WebhookOut(**webhook_fields(await in_thread(context.webhooks.get, webhook_id, owner=owner)))


@router.patch("/{webhook_id}", response_model=WebhookOut, operation_id="change_webhook")
async def change_webhook(
    webhook_id: str, context: ContextDep, owner: ScopeDep, wanted: ChangeIn
) -> WebhookOut:
    """Another address, other events; or switched off, or on again."""
    changed = await in_thread(
        context.webhooks.change,
        webhook_id,
        owner=owner,
        url=wanted.url,
        events=wanted.events,
        is_enabled=wanted.enabled,
    )
    return WebhookOut(**webhook_fields(changed))


@router.delete("/{webhook_id}", status_code=204, operation_id="delete_webhook")
async def delete_webhook(webhook_id: str, context: ContextDep, owner: ScopeDep) -> Response:
    """Removes a webhook with its deliveries."""
    await in_thread(context.webhooks.delete, webhook_id, owner=owner)
    return Response(status_code=204)


@router.post(
    "/{webhook_id}/rotate",
    response_model=MadeWebhookOut,
    status_code=201,
    operation_id="rotate_webhook_secret",
)
async def rotate_webhook_secret(
    webhook_id: str, context: ContextDep, owner: ScopeDep, wanted: RotateSecretIn | None = None
) -> MadeWebhookOut:
    """Another secret; for a while events are signed with the old one as well."""
    wanted = wanted or RotateSecretIn()

    def work() -> MadeWebhookOut:
        rotated = context.webhooks.rotate(
            webhook_id, owner=owner, secret=wanted.secret, overlap_seconds=wanted.overlap_seconds
        )
        return _made(context.webhooks, rotated)

    return await in_thread(work)


@router.get("/{webhook_id}/deliveries", response_model=DeliveryPage, operation_id="list_deliveries")
async def list_deliveries(
    webhook_id: str,
    context: ContextDep,
    owner: ScopeDep,
    state: DeliveryState | None = None,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
) -> DeliveryPage:
    """What was sent, or is to be sent; those that ended are kept for 30 days."""
    found = await in_thread(
        context.webhooks.deliveries, webhook_id, owner=owner, state=state, after=after, limit=limit + 1
    )
    page = found[:limit]
    cursor = page[-1].id if len(found) > limit else None
    return DeliveryPage(data=[delivery_out(each) for each in page], next=cursor)


@router.post(
    "/{webhook_id}/deliveries/replay",
    response_model=ReplayedOut,
    status_code=202,
    operation_id="replay_failed_deliveries",
)
async def replay_failed_deliveries(
    webhook_id: str, context: ContextDep, owner: ScopeDep, wanted: ReplayIn | None = None
) -> ReplayedOut:
    """Sends every delivery that failed again."""
    since = None if wanted is None else wanted.since
    count = await in_thread(context.webhooks.replay_failed, webhook_id, owner=owner, since=since)
    return ReplayedOut(replayed=count)


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/replay",
    response_model=DeliveryOut,
    status_code=202,
    operation_id="replay_delivery",
)
async def replay_delivery(
    webhook_id: str, delivery_id: str, context: ContextDep, owner: ScopeDep
) -> DeliveryOut:
    """Sends a delivery again, whatever became of it; the event's id stays."""
    return delivery_out(await in_thread(context.webhooks.replay, webhook_id, delivery_id, owner=owner))


def _made(book: WebhookBook, webhook: Webhook) -> MadeWebhookOut:
    return MadeWebhookOut(**webhook_fields(webhook), secret=book.secret_of(webhook))
