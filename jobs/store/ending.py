"""Ending a job before its documents are settled: one row, whatever its size."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Connection, Row, select, update

from jobs.records import JobStatus, SliceState
from jobs.store import tables as t
from jobs.store.announcing import tell_end
from jobs.store.database import Database
from jobs.store.outcomes import set_status
from jobs.store.stages import status_of

_MOST_SLICES = 1000


def end_early(connection: Connection, row: Row[Any], wanted: JobStatus, now: float) -> int:
    """Ends a job whose documents are not all settled; returns how many were open.

    They have the outcome that the job's status tells from now on, and nothing of an ended
    job is claimed or settled. Its slices are tidied away later, but for the first.

    Args:
        connection: in a transaction that has the job locked.
        row: of the job.
        wanted: cancelled or expired, which is the name of a counter too.
        now: by the store's clock.
    """
    left = row.total - row.succeeded - row.failed - row.cancelled - row.expired
    counter = {str(wanted): row._mapping[str(wanted)] + left}
    set_status(connection, row.id, status_of(row), wanted, finished_at=now, close_from=0, **counter)
    tell_end(connection, row.id, now)
    _fence_leased(connection, row.id)
    close_block(connection, row.id)
    return int(left)


def close_slices(database: Database, row_id: int, *, until: float) -> bool:
    """Tidies the slices of an ended job away (True: all), or some until the time is over."""
    while not database.write(lambda connection: close_block(connection, row_id), gives_way=True):
        if time.monotonic() >= until:
            return False
        database.give_way()
    return True


def close_block(connection: Connection, row_id: int) -> bool:
    """Closes the next slices that nobody will claim; returns whether these were the last."""
    c, s = t.job.c, t.slice_.c
    start = connection.scalar(select(c.close_from).where(c.id == row_id).with_for_update())
    if start is None:
        return True
    following = select(s.number).where(s.job == row_id, s.number >= start)
    numbers = list(connection.scalars(following.order_by(s.number).limit(_MOST_SLICES)))
    if numbers:
        connection.execute(
            update(t.slice_)
            .where(s.job == row_id, s.number.between(numbers[0], numbers[-1]), s.state == SliceState.WAITING)
            .values(state=SliceState.DONE, num_open=0)
        )
    is_last = len(numbers) < _MOST_SLICES
    close_from = None if is_last else numbers[-1] + 1
    connection.execute(update(t.job).where(c.id == row_id).values(close_from=close_from))
    return is_last


def _fence_leased(connection: Connection, row_id: int) -> None:
    """Takes the leased slices of a job away from whoever holds them."""
    c = t.slice_.c
    connection.execute(
        update(t.slice_)
        .where(c.job == row_id, c.state == SliceState.LEASED)
        .values(state=SliceState.DONE, attempt=c.attempt + 1, num_open=0, lease_owner=None, lease_until=None)
    )
