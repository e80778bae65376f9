"""Mending: what was left behind by crashes, time limits and unfinished cancels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select, update

from jobs.records import DocumentStatus, JobStatus, SliceState, SweepReport
from jobs.store import tables as t
from jobs.store.control import fill_cancelled
from jobs.store.database import Database
from jobs.store.outcomes import close_if_settled, fence_all, fill_open, lock_job, set_status

_MOST_LEASES = 500  # mended in one transaction; the next sweep goes on
#: A slice that crashes so often with no document to blame is given up.
_HOPELESS = 3


@dataclass
class _Tally:
    released: int = 0
    quarantined: int = 0
    expired: int = 0
    closed: int = 0


def sweep(database: Database, *, max_crashes: int) -> SweepReport:
    """One pass over everything that may need mending; safe to run anywhere, at once."""
    tally = _Tally()
    for row_id, number in database.read(lambda c: _lapsed(database, c)):
        database.write(lambda c, j=row_id, n=number: _mend(database, c, j, n, max_crashes, tally))  # type: ignore[misc]
    for row_id in database.read(lambda c: _overdue(database, c)):
        database.write(lambda c, j=row_id: _expire(database, c, j, tally))  # type: ignore[misc]
    for row_id in database.read(_cancelling):
        database.write(lambda c, j=row_id: _finish_cancel(database, c, j, tally))  # type: ignore[misc]
    return SweepReport(
        released=tally.released, quarantined=tally.quarantined, expired=tally.expired, closed=tally.closed
    )


def _lapsed(database: Database, connection: Connection) -> list[tuple[int, int]]:
    c = t.slice_.c
    rows = connection.execute(
        select(c.job, c.number)
        .where(c.state == SliceState.LEASED, c.lease_until < database.now(connection))
        .limit(_MOST_LEASES)
    )
    return [(row.job, row.number) for row in rows]


def _overdue(database: Database, connection: Connection) -> list[int]:
    c = t.job.c
    return list(
        connection.scalars(
            select(c.id).where(
                c.expires_at < database.now(connection), c.status.in_((JobStatus.QUEUED, JobStatus.RUNNING))
            )
        )
    )


def _cancelling(connection: Connection) -> list[int]:
    return list(connection.scalars(select(t.job.c.id).where(t.job.c.status == JobStatus.CANCELLING)))


def _mend(
    database: Database, connection: Connection, row_id: int, number: int, max_crashes: int, tally: _Tally
) -> None:
    lock_job(connection, row_id)
    c = t.slice_.c
    now = database.now(connection)
    row = connection.execute(
        select(t.slice_)
        .where(c.job == row_id, c.number == number, c.state == SliceState.LEASED, c.lease_until < now)
        .with_for_update()
    ).first()
    if row is None:
        return  # another sweep was here, or a heartbeat came through after all
    tally.released += 1
    settled = _blame(connection, row, max_crashes, tally)
    num_open = row.num_open - settled
    is_alone = row.suspect_seq is not None
    connection.execute(
        update(t.slice_)
        .where(c.job == row_id, c.number == number)
        .values(
            state=SliceState.WAITING if num_open else SliceState.DONE,
            num_open=num_open,
            crash_count=row.crash_count + (0 if is_alone else 1),
            isolate=True,
            suspect_seq=None,
            lease_owner=None,
            lease_until=None,
            sent_at=None,
        )
    )
    if not num_open and close_if_settled(connection, row_id, now):
        tally.closed += 1


def _blame(connection: Connection, row: Row[Any], max_crashes: int, tally: _Tally) -> int:
    """Lays the crash at the door of the document that ran alone; returns how many were settled."""
    if row.suspect_seq is None:
        return _give_up(connection, row, max_crashes)
    d = t.document.c
    crashes = connection.scalar(
        update(t.document)
        .where(d.job == row.job, d.seq == row.suspect_seq)
        .values(crash_count=d.crash_count + 1)
        .returning(d.crash_count)
    )
    # A crash in company proves nothing about one document, so one alone must be among them.
    in_company = min(row.crash_count, 1)
    if int(crashes or 0) + in_company < max_crashes:
        return 0
    quarantined = fill_open(
        connection, row.job, DocumentStatus.FAILED, code="quarantined",
        message=f"the worker process died {max_crashes} times on this document", seq=row.suspect_seq,
    )  # fmt: skip
    tally.quarantined += quarantined
    return quarantined


def _give_up(connection: Connection, row: Row[Any], max_crashes: int) -> int:
    if row.crash_count + 1 < _HOPELESS * max_crashes:
        return 0
    return fill_open(
        connection, row.job, DocumentStatus.FAILED, code="worker_lost",
        message=f"the worker was lost {row.crash_count + 1} times before this document could run",
        slice_number=row.number,
    )  # fmt: skip


def _expire(database: Database, connection: Connection, row_id: int, tally: _Tally) -> None:
    row = lock_job(connection, row_id)
    current = JobStatus(row.status)
    if current.is_final or current is JobStatus.CANCELLING:
        return
    fence_all(connection, row_id)
    tally.expired += fill_open(
        connection,
        row_id,
        DocumentStatus.EXPIRED,
        code="expired",
        message="the job ran out of time",
    )
    set_status(connection, row_id, current, JobStatus.EXPIRED, finished_at=database.now(connection))
    tally.closed += 1


def _finish_cancel(database: Database, connection: Connection, row_id: int, tally: _Tally) -> None:
    if JobStatus(lock_job(connection, row_id).status) is JobStatus.CANCELLING:
        tally.closed += fill_cancelled(database, connection, row_id) == 0
