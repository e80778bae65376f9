"""Which slices to send now. Sending is a hint: claiming, not sending, is what counts."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, ScalarSelect, func, or_, select, update

from jobs.records import Priority, SliceKey, SliceState, SliceTicket, Task
from jobs.store import tables as t
from jobs.store.database import Database
from jobs.store.stages import OPEN, is_unfinished

_MOST_JOBS = 200  # looked at in one go; the next call goes on with the rest


def take_window(
    database: Database, *, job_id: str | None, window: int, resend_after_seconds: float
) -> list[SliceTicket]:
    """Marks waiting slices as sent and returns them, at most `window` of a job in flight."""
    marked: list[tuple[SliceTicket, float]] = []  # when this runs again after a COMMIT nobody heard

    def work(connection: Connection) -> list[SliceTicket]:
        now = database.now(connection)
        lost_before = now - resend_after_seconds
        tickets = {each.key: each for each, at in marked if _is_marked(connection, each.key, at)}
        for row_id, public_id in _jobs_to_feed(connection, job_id, window, now, lost_before):
            fed = _feed(connection, row_id, public_id, window, now, lost_before)
            marked.extend((ticket, now) for ticket in fed)
            tickets |= {ticket.key: ticket for ticket in fed}
        return list(tickets.values())

    return database.write(work)


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


def _sendable(now: float, lost_before: float) -> ColumnElement[bool]:
    c = t.slice_.c
    return (
        (c.state == SliceState.WAITING)
        & (c.available_at <= now)
        & or_(c.sent_at.is_(None), c.sent_at <= lost_before)
    )


def _in_flight(job: ColumnElement[int] | int, lost_before: float) -> ScalarSelect[int]:
    """How many slices of a job are with workers, or on their way to them."""
    s = t.slice_.alias("in_flight")
    is_in_flight = or_(
        s.c.state == SliceState.LEASED, (s.c.state == SliceState.WAITING) & (s.c.sent_at > lost_before)
    )
    return select(func.count()).where(s.c.job == job, is_in_flight).scalar_subquery()


def _jobs_to_feed(
    connection: Connection, job_id: str | None, window: int, now: float, lost_before: float
) -> Sequence[tuple[int, str]]:
    """Jobs with something to send and room for it: whose window is full takes nobody's place."""
    jobs = (
        select(t.job.c.id, t.job.c.public_id)
        .where(is_unfinished(), t.job.c.status.in_(OPEN))
        .where(select(1).where(t.slice_.c.job == t.job.c.id, _sendable(now, lost_before)).exists())
        .where(_in_flight(t.job.c.id, lost_before) < window)
        .order_by(t.job.c.priority, t.job.c.id)
        .limit(_MOST_JOBS)
    )
    if job_id is not None:
        jobs = jobs.where(t.job.c.public_id == job_id)
    return [(row.id, row.public_id) for row in connection.execute(jobs)]


def _feed(
    connection: Connection, row_id: int, public_id: str, window: int, now: float, lost_before: float
) -> list[SliceTicket]:
    c = t.slice_.c
    room = window - int(connection.scalar(select(_in_flight(row_id, lost_before))) or 0)
    if room <= 0:  # another dispatcher was here a moment ago (PostgreSQL)
        return []
    chosen = (
        select(c.number)
        .where(c.job == row_id, _sendable(now, lost_before))
        .order_by(c.number)
        .limit(room)
        # Two dispatchers at once take different slices instead of waiting (PostgreSQL).
        .with_for_update(skip_locked=True)
    )
    rows = connection.execute(
        update(t.slice_)
        .where(c.job == row_id, c.number.in_(chosen))
        .values(sent_at=now)
        .returning(c.number, c.task, c.model, c.priority, c.num_open)
    )
    return [
        SliceTicket(
            key=SliceKey(job_id=public_id, number=row.number),
            task=Task(row.task),
            model=row.model,
            priority=Priority(row.priority),
            num_documents=row.num_open,
        )
        for row in sorted(rows, key=lambda row: row.number)
    ]
