"""What a client does to a whole job: cancel and retry. Deleting is in `removal`."""

from __future__ import annotations

import time

from sqlalchemy import Connection, update

from jobs.errors import IllegalTransition
from jobs.records import JobStatus
from jobs.states import move
from jobs.store import tables as t
from jobs.store.database import Database
from jobs.store.ending import end_early
from jobs.store.outcomes import lock_owned
from jobs.store.reopening import reopen, reopen_block
from jobs.store.stages import Stage, status_of

#: How long whoever retries waits for the slices to be ready; sweeps go on with the rest.
_SOON_SECONDS = 2.0


def cancel(database: Database, job_id: str, *, owner: str) -> None:
    """Ends the job by its own row: nothing is accepted after the answer."""

    def work(connection: Connection) -> None:
        row = lock_owned(connection, job_id, owner)
        if status_of(row) is not JobStatus.CANCELLED:
            end_early(connection, row, JobStatus.CANCELLED, database.now(connection))

    database.write(work)


def retry(database: Database, job_id: str, *, owner: str) -> None:
    """Reopens what did not succeed: at once for whoever looks, then slice by slice."""
    reopened_version: int | None = None

    def work(connection: Connection) -> tuple[int, bool]:
        nonlocal reopened_version
        row = lock_owned(connection, job_id, owner)
        if reopened_version not in (None, row.version):
            return row.id, False  # the COMMIT nobody heard went through
        current = status_of(row)
        if not current.is_final:
            raise IllegalTransition(f"only a finished job can be retried; this one is {current}")
        move(current, JobStatus.QUEUED)
        if not row.failed + row.cancelled + row.expired:
            raise IllegalTransition("every document succeeded: nothing to retry")
        _begin_anew(connection, row.id)
        reopened_version = row.version
        return row.id, reopen_block(connection, row.id)

    row_id, is_ready = database.write(work)
    if not is_ready:
        reopen(database, row_id, until=time.monotonic() + _SOON_SECONDS)


def _begin_anew(connection: Connection, row_id: int) -> None:
    c = t.job.c
    connection.execute(
        update(t.job)
        .where(c.id == row_id)
        .values(
            status=Stage.REOPENING, reopen_from=0, close_from=None, failed=0, cancelled=0, expired=0,
            started_at=None, finished_at=None, expires_at=None, error=None, version=c.version + 1,
            kept_documents=c.succeeded, kept_tokens=c.input_tokens + c.output_tokens,
        )
    )  # fmt: skip
