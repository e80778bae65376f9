"""Mending: what was left behind by crashes, time limits and long changes that were broken off."""

from __future__ import annotations

import time

from sqlalchemy import ColumnElement, Connection, delete, select

from jobs.records import JobStatus, SweepReport
from jobs.store import hook_tables as h
from jobs.store import tables as t
from jobs.store.batch_book import BatchBook
from jobs.store.database import Database
from jobs.store.ending import close_slices, end_early
from jobs.store.file_book import FileBook
from jobs.store.lapses import LedgerWatch, mend
from jobs.store.outbox import sweep_outbox
from jobs.store.outcomes import lock_job
from jobs.store.removal import hide, remove
from jobs.store.reopening import reopen
from jobs.store.stages import OPEN, Stage, is_unfinished

#: A submission that brought nothing for so long is dead: its process was killed.
_DEAD_SECONDS = 120.0
_FORGOTTEN_SECONDS = 86_400.0
_MOST_JOBS = 100  # looked at in one sweep; the next goes on
#: How long one sweep works at what others left half done: leases are looked at after it.
_WORK_SECONDS = 2.0


def sweep(
    database: Database, watch: LedgerWatch, *, max_crashes: int, keep_seconds: float | None
) -> SweepReport:
    """One pass over everything that may need mending; safe to run anywhere, at once."""
    watch.look()
    mended = mend(database, max_crashes=max_crashes, may_judge=watch.is_open_long_enough)
    ended = [
        database.write(lambda connection, j=row_id: _expire(database, connection, j))  # type: ignore[misc]
        for row_id in database.read(lambda connection: _overdue(database, connection))
    ]
    _hide_the_dead(database)
    _forget_workers(database)
    if keep_seconds is not None:
        _hide_the_old(database, keep_seconds)
    sweep_outbox(database)
    BatchBook(database).sweep(keep_seconds=keep_seconds)
    FileBook(database).sweep(until=time.monotonic() + _WORK_SECONDS)
    removed = _go_on(database, until=time.monotonic() + _WORK_SECONDS)
    return SweepReport(
        released=mended.released, quarantined=mended.quarantined, expired=sum(ended),
        closed=mended.closed + sum(num_open > 0 for num_open in ended), removed=removed,
    )  # fmt: skip


def _overdue(database: Database, connection: Connection) -> list[int]:
    c = t.job.c
    late = select(c.id).where(is_unfinished(), c.status.in_(OPEN), c.expires_at < database.now(connection))
    return list(connection.scalars(late.limit(_MOST_JOBS)))


def _expire(database: Database, connection: Connection, row_id: int) -> int:
    """How many documents had not been settled in time."""
    row = lock_job(connection, row_id)
    if row is None or row.status not in OPEN:
        return 0
    return end_early(connection, row, JobStatus.EXPIRED, database.now(connection))


def _hide_the_dead(database: Database) -> None:
    """Submissions whose process died on the way."""

    def work(connection: Connection) -> None:
        c = t.job.c
        is_dead = c.created_at < database.now(connection) - _DEAD_SECONDS
        found = (
            select(c.id)
            .where(is_unfinished(), c.status == Stage.ARRIVING, is_dead)
            .limit(_MOST_JOBS)
            .with_for_update()
        )
        hide(connection, list(connection.scalars(found)))

    if database.read(lambda connection: _in_stage(connection, Stage.ARRIVING)):
        database.write(work)


def _forget_workers(database: Database) -> None:
    """Those that died without a word, long after their leases: every start has a name of its own."""
    c = t.worker.c

    def gone(connection: Connection) -> ColumnElement[bool]:
        return c.seen_at < database.now(connection) - _FORGOTTEN_SECONDS

    if database.read(
        lambda connection: connection.scalar(select(c.worker_id).where(gone(connection)).limit(1))
    ):
        database.write(
            lambda connection: connection.execute(delete(t.worker).where(gone(connection))) and None
        )


def _hide_the_old(database: Database, keep_seconds: float) -> None:
    """Jobs that were finished longer ago than they are kept, once all who want to know have been told."""
    c = t.job.c

    def old(connection: Connection) -> list[int]:
        is_untold = select(h.delivery.c.id).where(h.delivery.c.job == c.id, h.is_waiting()).exists()
        finished = select(c.id).where(c.finished_at < database.now(connection) - keep_seconds, ~is_untold)
        return list(connection.scalars(finished.limit(_MOST_JOBS).with_for_update(skip_locked=True)))

    if database.read(old):
        database.write(lambda connection: hide(connection, old(connection)))


def _go_on(database: Database, *, until: float) -> int:
    """Goes on with what takes many blocks; returns how many jobs were removed."""
    for row_id in database.read(lambda connection: _in_stage(connection, Stage.REOPENING)):
        reopen(database, row_id, until=until)
    for row_id in database.read(_untidy):
        close_slices(database, row_id, until=until)
    removed = 0
    for row_id in database.read(lambda connection: _in_stage(connection, Stage.LEAVING)):
        if removed and time.monotonic() >= until:
            break
        removed += remove(database, row_id, until=until)
    if removed:
        database.forget_traces()
    return removed


def _untidy(connection: Connection) -> list[int]:
    c = t.job.c
    return list(connection.scalars(select(c.id).where(c.close_from >= 0).limit(_MOST_JOBS)))


def _in_stage(connection: Connection, stage: Stage) -> list[int]:
    c = t.job.c
    found = select(c.id).where(is_unfinished(), c.status == stage).order_by(c.id)
    return list(connection.scalars(found.limit(_MOST_JOBS)))
