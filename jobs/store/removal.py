"""Removing jobs with all their rows: at once from sight, then block by block from the disk."""

from __future__ import annotations

import time

from sqlalchemy import Connection, delete, func, select, update

from jobs.errors import IllegalTransition
from jobs.store import tables as t
from jobs.store.announcing import withdraw
from jobs.store.database import Database
from jobs.store.outcomes import find_job, lock_owned
from jobs.store.pacing import Pace
from jobs.store.stages import Stage, status_of

#: How long whoever asks waits for the rows to go; sweeps go on with the rest.
_SOON_SECONDS = 2.0


def delete_job(database: Database, job_id: str, *, owner: str) -> None:
    """Removes a finished job; nobody sees it from the first transaction on."""
    was_there = False

    def work(connection: Connection) -> int | None:
        nonlocal was_there
        if was_there and find_job(connection, job_id) is None:
            return None  # the COMMIT nobody heard went through
        row = lock_owned(connection, job_id, owner)
        was_there = True
        if not status_of(row).is_final:
            raise IllegalTransition(
                f"only a finished job can be deleted; this one is {status_of(row)}: cancel it first"
            )
        hide(connection, [row.id])
        return int(row.id)

    row_id = database.write(work)
    if row_id is None:
        row_id = database.read(lambda connection: _hidden(connection, job_id))
    if row_id is not None:
        remove_soon(database, row_id)


def _hidden(connection: Connection, job_id: str) -> int | None:
    c = t.job.c
    return connection.scalar(select(c.id).where(c.public_id == job_id, c.status == Stage.LEAVING))


def hide(connection: Connection, row_ids: list[int]) -> None:
    """From now on there are no such jobs, their keys are free, and nobody is told of them any more."""
    withdraw(connection, row_ids)
    connection.execute(
        update(t.job)
        .where(t.job.c.id.in_(row_ids))
        .values(status=Stage.LEAVING, idempotency_key=None, finished_at=None)
    )


def remove_soon(database: Database, row_id: int) -> None:
    """Removes a hidden job, or as much of it as goes in two seconds."""
    if remove(database, row_id, until=time.monotonic() + _SOON_SECONDS):
        database.forget_traces()


def remove(database: Database, row_id: int, *, until: float) -> bool:
    """Removes rows of a hidden job; returns whether all are gone, but for traces in SQLite's log.

    Args:
        database: of the ledger.
        row_id: of the job.
        until: when to stop, by `time.monotonic`; one block goes in any case.
    """
    pace = Pace()
    while True:
        with pace.measured():
            is_gone = database.write(
                lambda connection: _remove_block(connection, row_id, pace.rows), gives_way=True
            )
        if is_gone:
            return True
        if time.monotonic() >= until:
            return False
        database.give_way()


def _remove_block(connection: Connection, row_id: int, rows: int) -> bool:
    """Removes at most so many rows; the job's own goes last."""
    left = rows
    for table, number in ((t.result, "seq"), (t.document, "seq"), (t.slice_, "number")):
        c = table.c
        lowest = select(func.min(c[number])).where(c.job == row_id)
        while (first := connection.scalar(lowest)) is not None:
            if left <= 0:
                return False
            block = delete(table).where(c.job == row_id, c[number] < first + left)
            left -= connection.execute(block).rowcount
    connection.execute(delete(t.job).where(t.job.c.id == row_id, t.job.c.status == Stage.LEAVING))
    return True
