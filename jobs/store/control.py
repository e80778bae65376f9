"""What a client does to a whole job: cancel, retry, delete."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, delete, func, select, update

from jobs.errors import IllegalTransition, JobNotFound
from jobs.records import DocumentStatus, JobStatus, SliceState
from jobs.states import move
from jobs.store import tables as t
from jobs.store.database import Database
from jobs.store.outcomes import close_if_settled, fence_all, fill_open, find_job, lock_job, set_status

#: Documents given their outcome in the request itself; the sweep goes on with the rest.
FILL_AT_ONCE = 50_000
_RETRIED = (DocumentStatus.FAILED, DocumentStatus.CANCELLED, DocumentStatus.EXPIRED)


def cancel(database: Database, job_id: str, *, owner: str) -> None:
    """Fences every slice in the same transaction: nothing is accepted after the answer."""

    def work(connection: Connection) -> None:
        row = _owned(connection, job_id, owner)
        current = JobStatus(row.status)
        if current in (JobStatus.CANCELLED, JobStatus.CANCELLING):
            return
        set_status(connection, row.id, current, JobStatus.CANCELLING)
        fence_all(connection, row.id)
        fill_cancelled(database, connection, row.id)

    database.write(work)


def fill_cancelled(database: Database, connection: Connection, row_id: int) -> int:
    """Settles the next open documents of a cancelling job; closes it after the last."""
    filled = fill_open(
        connection,
        row_id,
        DocumentStatus.CANCELLED,
        code="cancelled",
        message="the job was cancelled",
        limit=FILL_AT_ONCE,
    )
    close_if_settled(connection, row_id, database.now(connection))
    return filled


def retry(database: Database, job_id: str, *, owner: str) -> None:
    """Reopens what did not succeed."""
    reopened_version: int | None = None

    def work(connection: Connection) -> None:
        nonlocal reopened_version
        row = _owned(connection, job_id, owner)
        if reopened_version not in (None, row.version):
            return  # the COMMIT nobody heard went through
        current = JobStatus(row.status)
        if not current.is_final:
            raise IllegalTransition(f"only a finished job can be retried; this one is {current}")
        move(current, JobStatus.QUEUED)
        r = t.result.c
        reopened = connection.execute(
            delete(t.result).where(r.job == row.id, r.status.in_(_RETRIED))
        ).rowcount
        if not reopened:
            raise IllegalTransition("every document succeeded: nothing to retry")
        _reopen_slices(connection, row.id)
        c = t.job.c
        connection.execute(
            update(t.job)
            .where(c.id == row.id)
            .values(
                status=JobStatus.QUEUED, failed=0, cancelled=0, expired=0, started_at=None, finished_at=None,
                expires_at=None, error=None, version=c.version + 1, kept_documents=c.succeeded,
                kept_tokens=c.input_tokens + c.output_tokens,
            )
        )  # fmt: skip
        connection.execute(update(t.document).where(t.document.c.job == row.id).values(crash_count=0))
        reopened_version = row.version

    database.write(work)


def _reopen_slices(connection: Connection, row_id: int) -> None:
    d, r = t.document.c, t.result.c
    counts = connection.execute(
        select(d.slice, func.count())
        .select_from(t.document.outerjoin(t.result, (r.job == d.job) & (r.seq == d.seq)))
        .where(d.job == row_id, r.seq.is_(None))
        .group_by(d.slice)
    ).all()
    c = t.slice_.c
    for number, num_open in counts:
        connection.execute(
            update(t.slice_)
            .where(c.job == row_id, c.number == number)
            .values(
                state=SliceState.WAITING, num_open=num_open, crash_count=0, isolate=False, suspect_seq=None,
                available_at=0.0, sent_at=None, lease_owner=None, lease_until=None,
            )
        )  # fmt: skip


def delete_job(database: Database, job_id: str, *, owner: str) -> None:
    """Removes a finished job with all its rows."""
    was_there = False

    def work(connection: Connection) -> None:
        nonlocal was_there
        if was_there and find_job(connection, job_id) is None:
            return  # the COMMIT nobody heard went through
        row = _owned(connection, job_id, owner)
        was_there = True
        if not JobStatus(row.status).is_final:
            raise IllegalTransition(
                f"only a finished job can be deleted; this one is {row.status}: cancel it first"
            )
        for table in (t.result, t.document, t.slice_):
            connection.execute(delete(table).where(table.c.job == row.id))
        connection.execute(delete(t.job).where(t.job.c.id == row.id))

    database.write(work)
    database.forget_traces()


def _owned(connection: Connection, job_id: str, owner: str) -> Row[Any]:
    row = find_job(connection, job_id)
    if row is None or row.owner != owner:
        raise JobNotFound(f"there is no job {job_id!r}")
    return lock_job(connection, row.id)
