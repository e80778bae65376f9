"""The end of a job, written down for its webhooks in the transaction that ends it: no crash comes between."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, insert, or_, select, update

from jobs.store import hook_tables as h
from jobs.store import tables as t
from jobs.store.codec import from_json, job_from_row, to_json
from jobs.webhooks.events import body_of, end_of, refusal_of
from jobs.webhooks.records import (
    DeliveryState,
    Event,
    NewWebhook,
    new_delivery_id,
    new_event_id,
    new_webhook_id,
)


def add_hook(
    connection: Connection, new: NewWebhook, *, owner: str, now: float, job: int | None = None
) -> str:
    """Stores a webhook of a project, or of one job; returns its id."""
    public_id = new_webhook_id()
    connection.execute(
        insert(h.webhook).values(
            public_id=public_id, owner=owner, job=job, url=new.url, events_json=to_json(sorted(new.events)),
            secret=new.secret, created_at=now,
        )
    )  # fmt: skip
    return public_id


def tell_end(connection: Connection, row_id: int, now: float) -> None:
    """Writes the event of a job that has just become final, once for each webhook that wants it."""
    row = connection.execute(select(t.job).where(t.job.c.id == row_id)).one()
    if row.webhook == NOT_TOLD:
        return
    c = h.webhook.c
    hooks = _hooks(connection, or_(and_(c.owner == row.owner, c.job.is_(None)), c.job == row_id))
    if hooks:
        batch_id = connection.scalar(select(t.batch.c.public_id).where(t.batch.c.job == row_id))
        _write(connection, hooks, end_of(job_from_row(row, running=0), batch_id), now, job=row_id)


def tell_refusal(connection: Connection, owner: str, batch_id: str, now: float) -> None:
    """Writes the event of a batch that was refused."""
    c = h.webhook.c
    hooks = _hooks(connection, and_(c.owner == owner, c.job.is_(None)))
    _write(connection, hooks, refusal_of(batch_id), now, job=None)


def withdraw(connection: Connection, row_ids: Sequence[int]) -> None:
    """Forgets what was told, or is still to be told, of jobs that are deleted, and their own webhooks."""
    for table in (h.webhook, h.delivery):  # in the order in which a delivery is settled
        connection.execute(delete(table).where(table.c.job.in_(row_ids)))


def keep_telling(connection: Connection, row_id: int) -> None:
    """Cuts events off from a job that goes while its batch stays."""
    connection.execute(update(h.delivery).where(h.delivery.c.job == row_id).values(job=None))


def _hooks(connection: Connection, wanted: Any) -> Sequence[Row[Any]]:
    """Kept from being deleted until the events that name them are in (SQLite: a writer is alone anyway)."""
    found = select(h.webhook).where(wanted).with_for_update(read=True, key_share=True)
    return connection.execute(found).all()


def _write(
    connection: Connection, hooks: Sequence[Row[Any]], event: Event, now: float, *, job: int | None
) -> None:
    event_id = new_event_id()
    body = body_of(event, event_id, now)
    rows = [
        {
            "public_id": new_delivery_id(), "webhook": hook.id, "job": job, "event_id": event_id,
            "type": str(event.type), "body": body, "next_at": now, "created_at": now, **_state(hook, now),
        }
        for hook in hooks
        if str(event.type) in (from_json(hook.events_json) or [event.type])
    ]  # fmt: skip
    if rows:
        connection.execute(insert(h.delivery), rows)


def _state(hook: Row[Any], now: float) -> dict[str, Any]:
    """What a disabled webhook misses is kept as failed, to be sent again once it is enabled."""
    is_disabled = hook.disabled_at is not None
    return {
        "state": str(DeliveryState.FAILED if is_disabled else DeliveryState.WAITING),
        "ended_at": now if is_disabled else None,
        "error": DISABLED if is_disabled else None,
    }


#: Of jobs whose callers wait for the answer themselves.
NOT_TOLD = "none"
#: Of deliveries that were not tried.
DISABLED = "the webhook was disabled"
