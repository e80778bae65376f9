"""What is to be sent to webhooks: taken for a while by one process at a time, settled under a fence.

A delivery whose process died is due again when its time is over: it may be sent twice, never not at all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, delete, select, update

from jobs.store import hook_tables as h
from jobs.store.announcing import DISABLED
from jobs.store.database import Database
from jobs.webhooks.records import Answer, DeliveryState, Disabled, Parcel
from jobs.webhooks.schedule import KEPT_SECONDS, is_gone, is_hopeless, pause_after

#: Looked at in one transaction.
_MOST_ROWS = 64
_MOST_REMOVED = 1000


def take_due(
    database: Database, *, limit: int, per_webhook: int, busy: Collection[int], lease_seconds: float
) -> list[Parcel]:
    """Deliveries to be tried now, whose time is put ahead; those of disabled webhooks end here.

    Args:
        database: of the ledger.
        limit: at most so many.
        per_webhook: and so many of one webhook.
        busy: webhooks to leave out: a slow receiver must not take every place.
        lease_seconds: how long nobody else takes them.
    """

    def work(connection: Connection) -> list[Parcel]:
        now = database.now(connection)
        due = connection.execute(
            _due(now, busy).limit(_MOST_ROWS).with_for_update(of=h.delivery, skip_locked=True)
        ).all()
        _end_disabled(connection, [row.id for row in due if row.disabled_at is not None], now)
        taken = _first_of_each([row for row in due if row.disabled_at is None], per_webhook)[:limit]
        c = h.delivery.c
        connection.execute(
            update(h.delivery)
            .where(c.id.in_([row.id for row in taken]))
            .values(next_at=now + lease_seconds, lease=c.lease + 1)
        )
        return [_parcel(row, now) for row in taken]

    # Asked every second: without anything due nobody waits for SQLite's write lock.
    if not database.read(lambda connection: _is_any_due(database, connection, busy)):
        return []
    return database.write(work)


def settle_delivery(database: Database, parcel: Parcel, answer: Answer, *, chance: float) -> bool:
    """Writes what became of a try; False: somebody else has the delivery, or it is gone."""

    def work(connection: Connection) -> bool:
        # The webhook's row first: whoever deletes it locks in this order. Not its key: jobs that end
        # meanwhile name it, and must not wait.
        w, c = h.webhook.c, h.delivery.c
        of_parcel = select(h.webhook).where(w.id == parcel.webhook)
        hook = connection.execute(of_parcel.with_for_update(key_share=True)).first()
        row = connection.execute(
            select(h.delivery)
            .where(c.id == parcel.delivery, c.lease == parcel.lease, h.is_waiting())
            .with_for_update()
        ).first()
        if hook is None or row is None:
            return False
        now = database.now(connection)
        has_failed = answer.error is not None
        tries = row.tries + 1
        pause = pause_after(tries, chance) if has_failed else None
        is_over = pause is None or is_gone(answer.http_status)
        values: dict[str, Any] = {
            "tries": tries, "tried_at": now, "http_status": answer.http_status, "error": answer.error,
            # A new number: this verb, run again for a COMMIT that nobody heard, counts no second try.
            "lease": row.lease + 1,
        }  # fmt: skip
        if is_over:
            state = DeliveryState.FAILED if has_failed else DeliveryState.DELIVERED
            values |= {"state": str(state), "ended_at": now}
        else:
            values["next_at"] = now + (pause or 0.0)
        connection.execute(update(h.delivery).where(c.id == row.id).values(**values))
        _note(connection, hook, answer, now, has_given_up=has_failed and is_over)
        return True

    return database.write(work)


def sweep_outbox(database: Database) -> None:
    """Removes what was settled long ago."""
    c = h.delivery.c

    def old(connection: Connection) -> Sequence[int]:
        ended = select(c.id).where(c.ended_at < database.now(connection) - KEPT_SECONDS)
        return connection.scalars(ended.order_by(c.ended_at).limit(_MOST_REMOVED)).all()

    def remove(connection: Connection) -> None:
        connection.execute(delete(h.delivery).where(c.id.in_(old(connection))))

    if database.read(old):
        database.write(remove)


def _note(connection: Connection, hook: Row[Any], answer: Answer, now: float, *, has_given_up: bool) -> None:
    """What a try says of its webhook: all is well, or since when it is not, or that it is given up."""
    values: dict[str, Any] = {}
    if answer.error is None:
        values = {"failing_since": None}
    elif hook.failing_since is None:
        values = {"failing_since": now}
    failing_seconds = 0.0 if hook.failing_since is None else now - hook.failing_since
    wanted = None
    if is_gone(answer.http_status):
        wanted = Disabled.GONE
    elif is_hopeless(failing_seconds=failing_seconds, has_given_up=has_given_up):
        wanted = Disabled.FAILING
    if wanted is not None and hook.disabled_at is None:
        values |= {"disabled_at": now, "disabled_for": str(wanted)}
    if any(hook._mapping[name] != value for name, value in values.items()):
        connection.execute(update(h.webhook).where(h.webhook.c.id == hook.id).values(**values))


def _due(now: float, busy: Collection[int]) -> Select[Any]:
    d, w = h.delivery.c, h.webhook.c
    columns = (d.id, d.webhook, d.lease, d.event_id, d.body, d.next_at,
               w.url, w.secret, w.old_secret, w.old_secret_ends_at, w.disabled_at)  # fmt: skip
    joined = h.delivery.join(h.webhook, w.id == d.webhook)
    wanted = select(*columns).select_from(joined).where(h.is_waiting(), d.next_at <= now)
    return (wanted.where(d.webhook.not_in(busy)) if busy else wanted).order_by(d.next_at, d.id)


def _is_any_due(database: Database, connection: Connection, busy: Collection[int]) -> bool:
    return connection.execute(_due(database.now(connection), busy).limit(1)).first() is not None


def _end_disabled(connection: Connection, row_ids: Sequence[int], now: float) -> None:
    if row_ids:
        ended = {"state": str(DeliveryState.FAILED), "ended_at": now, "error": DISABLED}
        connection.execute(update(h.delivery).where(h.delivery.c.id.in_(row_ids)).values(**ended))


def _first_of_each(rows: Sequence[Row[Any]], most: int) -> list[Row[Any]]:
    taken: Counter[int] = Counter()
    kept = []
    for row in rows:
        taken[row.webhook] += 1
        if taken[row.webhook] <= most:
            kept.append(row)
    return kept


def _parcel(row: Row[Any], now: float) -> Parcel:
    has_old = row.old_secret is not None and row.old_secret_ends_at > now
    return Parcel(
        delivery=row.id, webhook=row.webhook, lease=row.lease + 1, event_id=row.event_id, url=row.url,
        body=row.body, secrets=(row.secret, row.old_secret) if has_old else (row.secret,),
    )  # fmt: skip
