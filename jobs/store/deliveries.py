"""Deliveries as their owner sees them, and sends them again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, Row, select, update

from jobs.echo import echoed
from jobs.errors import RequestError
from jobs.store import hook_tables as h
from jobs.store.codec import to_time
from jobs.store.database import Database
from jobs.store.hooks import find_hook
from jobs.webhooks.records import Delivery, DeliveryState, EventType, WebhookConflict, WebhookNotFound

_MOST_ROWS = 1000  #: sent again in one transaction
_AGAIN = {"state": str(DeliveryState.WAITING), "tries": 0, "ended_at": None, "error": None}


def list_deliveries(
    database: Database,
    webhook_id: str,
    *,
    owner: str | None,
    state: DeliveryState | None,
    after: str | None,
    limit: int,
) -> list[Delivery]:
    """Of one webhook, newest first.

    Raises:
        WebhookNotFound: there is no such webhook.
        RequestError: `after` is none of its deliveries.
    """

    def work(connection: Connection) -> list[Delivery]:
        c = h.delivery.c
        wanted = select(h.delivery).where(c.webhook == find_hook(connection, webhook_id, owner).id)
        if state is not None:
            wanted = wanted.where(c.state == str(state))
        if after is not None:
            last = connection.scalar(wanted.with_only_columns(c.id).where(c.public_id == after))
            if last is None:
                raise RequestError(f"after={echoed(after)} is no delivery of this list")
            wanted = wanted.where(c.id < last)
        return [_record(row) for row in connection.execute(wanted.order_by(c.id.desc()).limit(limit))]

    return database.read(work)


def replay(database: Database, webhook_id: str, delivery_id: str, *, owner: str | None) -> Delivery:
    """Sends one again, now, with tries as at first; the event's id stays.

    Raises:
        WebhookNotFound: there is no such webhook or delivery.
        WebhookConflict: the webhook is disabled.
    """

    def work(connection: Connection) -> Delivery:
        c = h.delivery.c
        hook = _enabled(connection, webhook_id, owner)
        wanted = (c.webhook == hook.id, c.public_id == delivery_id)
        again = update(h.delivery).where(*wanted).values(**_AGAIN, next_at=database.now(connection))
        connection.execute(again)
        row = connection.execute(select(h.delivery).where(*wanted)).first()
        if row is None:
            raise WebhookNotFound(f"this webhook has no delivery {delivery_id[:80]!r}")
        return _record(row)

    return database.write(work)


def replay_failed(database: Database, webhook_id: str, *, owner: str | None, since: datetime | None) -> int:
    """Sends all that failed again, or those of events since a time; how many.

    Raises:
        WebhookNotFound: there is no such webhook.
        WebhookConflict: the webhook is disabled.
    """
    c = h.delivery.c

    def block(connection: Connection, behind: int) -> Sequence[int]:
        hook = _enabled(connection, webhook_id, owner)
        wanted = select(c.id).where(c.webhook == hook.id, c.id > behind, c.state == str(DeliveryState.FAILED))
        if since is not None:
            wanted = wanted.where(c.created_at >= since.timestamp())
        numbers = connection.scalars(wanted.order_by(c.id).limit(_MOST_ROWS)).all()
        again = {**_AGAIN, "next_at": database.now(connection)}
        connection.execute(update(h.delivery).where(c.id.in_(numbers)).values(**again))
        return numbers

    found, behind, is_last = 0, -1, False
    while not is_last:
        numbers = database.write(partial(block, behind=behind), gives_way=True)
        found, behind = found + len(numbers), max(numbers, default=behind)
        is_last = len(numbers) < _MOST_ROWS
        database.give_way()
    return found


def _enabled(connection: Connection, webhook_id: str, owner: str | None) -> Row[Any]:
    hook = find_hook(connection, webhook_id, owner, is_locked=True)
    if hook.disabled_at is not None:
        raise WebhookConflict("the webhook is disabled: enable it first")
    return hook


def _record(row: Row[Any]) -> Delivery:
    created_at = to_time(row.created_at)
    assert created_at is not None  # the column is NOT NULL
    is_waiting = row.state == DeliveryState.WAITING
    return Delivery(
        id=row.public_id,
        event_id=row.event_id,
        type=EventType(row.type),
        state=DeliveryState(row.state),
        tries=row.tries,
        http_status=row.http_status,
        error=row.error,
        created_at=created_at,
        tried_at=to_time(row.tried_at),
        next_try_at=to_time(row.next_at) if is_waiting else None,
        ended_at=to_time(row.ended_at),
    )
