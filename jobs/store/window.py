"""Which slices to send now, by turns of owners. Sending is a hint: claiming is what counts.

Few are on their way at a time, no more than workers can take (`jobs/shares`), so that who comes
next need not stand behind them in Redis, where messages are first in, first out.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, select, text, update

from jobs.records import SliceKey, SliceState, SliceTicket
from jobs.shares import Shares, Slots
from jobs.store import tables as t
from jobs.store.database import Database
from jobs.store.lanes import Lanes

#: Names the lock that makes dispatchers count one after the other on PostgreSQL.
_DISPATCHING = 0x7E87_5EED


def take_window(
    database: Database, *, job_id: str | None, window: int, resend_after_seconds: float, slots: Slots
) -> list[SliceTicket]:
    """Marks waiting slices as sent and returns them, at most `window` of a job in flight."""
    marked: list[tuple[SliceTicket, float]] = []  # when this runs again after a COMMIT nobody heard

    def work(connection: Connection) -> list[SliceTicket]:
        if not database.is_sqlite:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({_DISPATCHING})"))
        now = database.now(connection)
        tickets = {each.key: each for each, at in marked if _is_marked(connection, each.key, at)}
        lanes = Lanes(
            connection, now=now, lost_before=now - resend_after_seconds, window=window, job_id=job_id,
            holders=slots.holders,
        )  # fmt: skip
        for ticket in _choose(lanes, slots):
            marked.append((ticket, now))
            tickets[ticket.key] = ticket
        return list(tickets.values())

    return database.write(work)


def _choose(lanes: Lanes, slots: Slots) -> list[SliceTicket]:
    """Lets the lanes send, one slice after the other, until none may or none has any."""
    shares = Shares(slots, lanes.out())
    waiting = lanes.waiting()
    chosen: list[SliceTicket] = []
    while (lane := shares.pick(waiting)) is not None:
        ticket = lanes.send(lane, out=shares.of(lane))
        if ticket is None:
            del waiting[lane]
        else:
            chosen.append(ticket)
            shares.note_sent(lane)
    return chosen


def _is_marked(connection: Connection, key: SliceKey, sent_at: float) -> bool:
    c = t.slice_.c
    row_id = select(t.job.c.id).where(t.job.c.public_id == key.job_id).scalar_subquery()
    mark = (c.state == SliceState.WAITING) & (c.sent_at == sent_at)
    return bool(connection.scalar(select(func.count()).where(c.job == row_id, c.number == key.number, mark)))


def unsend(database: Database, keys: Sequence[SliceKey]) -> None:
    """Takes back the mark of slices that the broker did not accept."""

    def work(connection: Connection) -> None:
        c = t.slice_.c
        for key in keys:
            row_id = select(t.job.c.id).where(t.job.c.public_id == key.job_id).scalar_subquery()
            connection.execute(
                update(t.slice_)
                .where(c.job == row_id, c.number == key.number, c.state == SliceState.WAITING)
                .values(sent_at=None)
            )

    if keys:
        database.write(work)
