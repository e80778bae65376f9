"""Webhooks in SQL: made, changed, rotated, deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, update

from jobs.store import hook_tables as h
from jobs.store import tables as t
from jobs.store.announcing import add_hook
from jobs.store.codec import from_json, to_json, to_time
from jobs.store.database import Database
from jobs.store.stages import is_visible
from jobs.webhooks.records import (
    MOST_WEBHOOKS,
    Disabled,
    EventType,
    NewWebhook,
    Webhook,
    WebhookConflict,
    WebhookNotFound,
)


def add_webhook(database: Database, new: NewWebhook, *, owner: str) -> Webhook:
    """A webhook of a project.

    Raises:
        WebhookConflict: the project has as many as it may.
    """

    def work(connection: Connection) -> Webhook:
        c = h.webhook.c
        known = connection.scalar(select(c.public_id).where(c.owner == owner, c.secret == new.secret))
        if known is not None:  # the COMMIT nobody heard went through: a sealed secret is never the same twice
            return _record(find_hook(connection, known, owner))
        count = select(func.count()).where(c.owner == owner, c.job.is_(None))
        if (connection.scalar(count) or 0) >= MOST_WEBHOOKS:
            raise WebhookConflict(f"the project has {MOST_WEBHOOKS} webhooks already: delete one first")
        made = add_hook(connection, new, owner=owner, now=database.now(connection))
        return _record(find_hook(connection, made, owner))

    return database.write(work)


def list_webhooks(database: Database, *, owner: str | None, job_id: str | None) -> list[Webhook]:
    """Those of projects, or of one job; oldest first. `owner=None`: of every project."""

    def work(connection: Connection) -> list[Webhook]:
        wanted = _hooks()
        if owner is not None:
            wanted = wanted.where(h.webhook.c.owner == owner)
        of = h.webhook.c.job.is_(None) if job_id is None else t.job.c.public_id == job_id
        return [_record(row) for row in connection.execute(wanted.where(of).order_by(h.webhook.c.id))]

    return database.read(work)


def get_webhook(database: Database, webhook_id: str, *, owner: str | None) -> Webhook:
    """One by its id.

    Raises:
        WebhookNotFound: there is none, or it is another project's.
    """
    return database.read(lambda connection: _record(find_hook(connection, webhook_id, owner)))


def change_webhook(
    database: Database,
    webhook_id: str,
    *,
    owner: str | None,
    url: str | None,
    events: Sequence[EventType] | None,
    is_enabled: bool | None,
) -> Webhook:
    """Changes what is given; enabling one forgets that it ever failed.

    Raises:
        WebhookNotFound: there is none, or it is another project's.
    """

    def work(connection: Connection) -> Webhook:
        row = find_hook(connection, webhook_id, owner, is_locked=True)
        values: dict[str, Any] = {} if url is None else {"url": url}
        if events is not None:
            values["events_json"] = to_json(sorted(events))
        if is_enabled:
            values |= {"disabled_at": None, "disabled_for": None, "failing_since": None}
        elif is_enabled is not None and row.disabled_at is None:
            values |= {"disabled_at": database.now(connection), "disabled_for": str(Disabled.ASKED)}
        if values:
            connection.execute(update(h.webhook).where(h.webhook.c.id == row.id).values(**values))
        return _record(find_hook(connection, webhook_id, owner))

    return database.write(work)


def rotate_webhook(
    database: Database, webhook_id: str, *, owner: str | None, secret: str, overlap_seconds: float
) -> Webhook:
    """Another secret (sealed); the one before signs as well until the overlap is over.

    Raises:
        WebhookNotFound: there is none, or it is another project's.
    """

    def work(connection: Connection) -> Webhook:
        row = find_hook(connection, webhook_id, owner, is_locked=True)
        if row.secret != secret:  # else the COMMIT nobody heard went through
            ends_at = database.now(connection) + overlap_seconds
            old = row.secret if overlap_seconds else None
            connection.execute(
                update(h.webhook)
                .where(h.webhook.c.id == row.id)
                .values(secret=secret, old_secret=old, old_secret_ends_at=ends_at if old else None)
            )
        return _record(find_hook(connection, webhook_id, owner))

    return database.write(work)


def delete_webhook(database: Database, webhook_id: str, *, owner: str | None) -> None:
    """Removes a webhook with all its deliveries.

    Raises:
        WebhookNotFound: there is none, or it is another project's.
    """
    was_there = False

    def work(connection: Connection) -> None:
        nonlocal was_there
        try:
            row = find_hook(connection, webhook_id, owner, is_locked=True)
        except WebhookNotFound:
            if was_there:  # the COMMIT nobody heard went through
                return
            raise
        was_there = True
        connection.execute(delete(h.webhook).where(h.webhook.c.id == row.id))

    database.write(work)


def find_hook(
    connection: Connection, webhook_id: str, owner: str | None, *, is_locked: bool = False
) -> Row[Any]:
    """Its row, with `job_id`.

    Raises:
        WebhookNotFound: there is none, or it is another project's.
    """
    wanted = _hooks().where(h.webhook.c.public_id == webhook_id)
    if owner is not None:
        wanted = wanted.where(h.webhook.c.owner == owner)
    row = connection.execute(wanted.with_for_update(of=h.webhook) if is_locked else wanted).first()
    if row is None:
        raise WebhookNotFound(f"there is no webhook {webhook_id[:80]!r}")
    return row


def _hooks() -> Any:
    """Webhooks of projects, and of jobs that clients see."""
    joined = h.webhook.outerjoin(t.job, t.job.c.id == h.webhook.c.job)
    is_there = h.webhook.c.job.is_(None) | is_visible()
    return select(h.webhook, t.job.c.public_id.label("job_id")).select_from(joined).where(is_there)


def _record(row: Row[Any]) -> Webhook:
    created_at = to_time(row.created_at)
    assert created_at is not None  # the column is NOT NULL
    return Webhook(
        id=row.public_id,
        owner=row.owner,
        job_id=row.job_id,
        url=row.url,
        events=tuple(EventType(name) for name in from_json(row.events_json)),
        secret=row.secret,
        old_secret=row.old_secret,
        old_secret_ends_at=to_time(row.old_secret_ends_at),
        created_at=created_at,
        failing_since=to_time(row.failing_since),
        disabled_at=to_time(row.disabled_at),
        disabled_for=None if row.disabled_for is None else Disabled(row.disabled_for),
    )
