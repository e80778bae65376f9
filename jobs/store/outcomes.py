"""What every verb that settles documents shares: filling in outcomes, counters, closing.

All functions run inside the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Integer,
    Row,
    bindparam,
    false,
    func,
    literal,
    literal_column,
    select,
    update,
)

from jobs.errors import JobNotFound
from jobs.records import Counts, DocumentStatus, JobStatus, SliceState
from jobs.states import closing_status, move
from jobs.store import tables as t
from jobs.store.announcing import tell_end
from jobs.store.stages import is_visible, status_of

#: columns a SELECT of open documents fills in `result`
_FILLED = (
    "job",
    "seq",
    "attempt",
    "status",
    "error_code",
    "error_message",
    "input_tokens",
    "output_tokens",
    "truncated",
)


def lock_job(connection: Connection, row_id: int) -> Row[Any] | None:
    """The job's row, locked until the transaction ends (SQLite: a writer is alone anyway).

    None: it is gone, or going.
    """
    statement = select(t.job).where(t.job.c.id == row_id, is_visible()).with_for_update()
    return connection.execute(statement).first()


def lock_owned(connection: Connection, job_id: str, owner: str) -> Row[Any]:
    """The same by its public id, for its owner.

    Raises:
        JobNotFound: there is no such job, or it is somebody else's.
    """
    found = find_job(connection, job_id)
    row = None if found is None or found.owner != owner else lock_job(connection, found.id)
    if row is None:
        raise JobNotFound(f"there is no job {job_id!r}")
    return row


def fill_open(
    connection: Connection,
    row_id: int,
    status: DocumentStatus,
    *,
    code: str | None = None,
    message: str | None = None,
    slice_number: int,
    seq: int | None = None,
) -> int:
    """Gives open documents of a slice, or the one of them, an outcome without an output; returns how many."""
    d, r, s = t.document.c, t.result.c, t.slice_.c
    bounds = select(s.first_seq, s.last_seq).where(s.job == row_id, s.number == slice_number)
    first, last = connection.execute(bounds).one()
    open_documents = (
        select(
            d.job, d.seq, literal(0), literal(str(status)), literal(code), literal(message),
            literal_column("0", Integer), literal_column("0", Integer), false(),
        )
        .select_from(t.document.outerjoin(t.result, (r.job == d.job) & (r.seq == d.seq)))
        .where(d.job == row_id, d.slice == slice_number, r.seq.is_(None), d.seq.between(first, last))
    )  # fmt: skip
    if seq is not None:
        open_documents = open_documents.where(d.seq == seq)
    statement = t.result.insert().from_select(list(_FILLED), open_documents)
    written = connection.execute(statement, execution_options={"preserve_rowcount": True}).rowcount
    if written:
        bump(connection, row_id, {status: written})
    return written


def bump(
    connection: Connection,
    row_id: int,
    by_status: dict[DocumentStatus, int],
    *,
    input_tokens: int = 0,
    output_tokens: int = 0,
) -> None:
    """Adds to the job's counters what this transaction wrote."""
    c = t.job.c
    values: dict[str, Any] = {
        str(status): c[str(status)] + count for status, count in by_status.items() if count
    }
    values |= {
        "input_tokens": c.input_tokens + input_tokens,
        "output_tokens": c.output_tokens + output_tokens,
    }
    connection.execute(update(t.job).where(c.id == row_id).values(version=c.version + 1, **values))


def close_if_settled(connection: Connection, row_id: int, now: float) -> bool:
    """Closes the job when its last document is settled; returns whether it is final."""
    row = connection.execute(select(t.job).where(t.job.c.id == row_id)).one()
    current = status_of(row)
    if current.is_final:
        return True
    counts = Counts(
        total=row.total,
        succeeded=row.succeeded,
        failed=row.failed,
        cancelled=row.cancelled,
        expired=row.expired,
    )
    if counts.settled < counts.total:
        return False
    set_status(connection, row_id, current, closing_status(current, counts), finished_at=now)
    tell_end(connection, row_id, now)
    return True


def set_status(
    connection: Connection, row_id: int, current: JobStatus, wanted: JobStatus, **values: float | None
) -> None:
    """Moves the job, asking the state machine."""
    c = t.job.c
    connection.execute(
        update(t.job)
        .where(c.id == row_id)
        .values(status=move(current, wanted), version=c.version + 1, **values)
    )


def running_documents(connection: Connection, row_id: int) -> int:
    """Open documents of a job's leased slices."""
    return running_of_each(connection, [row_id]).get(row_id, 0)


def running_of_each(connection: Connection, row_ids: Sequence[int]) -> dict[int, int]:
    """Open documents of leased slices, for those of the jobs that have any; one query for all."""
    c = t.slice_.c
    rows = connection.execute(
        select(c.job, func.sum(c.num_open))
        .where(c.state == SliceState.LEASED, c.job.in_(row_ids))
        .group_by(c.job)
    )
    return {job: int(num_open) for job, num_open in rows}


def find_job(connection: Connection, public_id: str) -> Row[Any] | None:
    """The job's row by its public id."""
    if "\0" in public_id:  # PostgreSQL would take the question itself for an error
        return None
    return connection.execute(_BY_PUBLIC_ID, {"public_id": public_id}).first()


_BY_PUBLIC_ID = select(t.job).where(t.job.c.public_id == bindparam("public_id"), is_visible())
