"""The worker's right to a slice: claim, heartbeat, suspect, release. All fenced by attempt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, select, update

from jobs.isolation import isolation
from jobs.records import (
    JobStatus,
    Lease,
    LeasedDocument,
    LeaseState,
    Priority,
    SliceKey,
    SliceState,
    Task,
)
from jobs.store import tables as t
from jobs.store.codec import from_json
from jobs.store.database import Database
from jobs.store.outcomes import find_job, lock_job, set_status
from jobs.store.stages import OPEN


def claim(database: Database, key: SliceKey, *, worker_id: str, lease_seconds: float) -> Lease | None:
    """Takes a waiting slice, or None when there is nothing to take."""
    taken_before: int | None = None  # the attempt, when this runs again after a COMMIT nobody heard

    def work(connection: Connection) -> Lease | None:
        nonlocal taken_before
        found = find_job(connection, key.job_id)
        # Locked: a cancel fences what is leased, so a claim comes before it or not at all.
        job = None if found is None else lock_job(connection, found.id)
        if job is None or job.status not in OPEN:
            return None
        now = database.now(connection)
        c = t.slice_.c
        taken = connection.execute(
            update(t.slice_)
            .where(
                c.job == job.id, c.number == key.number, c.state == SliceState.WAITING, c.available_at <= now
            )
            .values(
                state=SliceState.LEASED,
                attempt=c.attempt + 1,
                lease_owner=worker_id,
                lease_until=now + lease_seconds,
                suspect_seq=None,
            )
            .returning(*c)
        ).first()
        if taken is None and taken_before is not None:
            is_ours = held(job.id, key, taken_before) & (c.lease_owner == worker_id)
            taken = connection.execute(select(t.slice_).where(is_ours)).first()
        if taken is None:
            return None
        taken_before = taken.attempt
        if job.status == JobStatus.QUEUED:
            set_status(
                connection, job.id, JobStatus.QUEUED, JobStatus.RUNNING, started_at=job.started_at or now
            )
        return _lease(key, taken, _open_documents(connection, taken))

    return database.write(work)


def _open_documents(connection: Connection, slice_row: Any) -> tuple[LeasedDocument, ...]:
    d, r = t.document.c, t.result.c
    rows = connection.execute(
        select(d.seq, d.text, d.context, d.params, d.messages_json)
        .select_from(t.document.outerjoin(t.result, (r.job == d.job) & (r.seq == d.seq)))
        .where(
            d.job == slice_row.job,
            d.seq.between(slice_row.first_seq, slice_row.last_seq),
            d.slice == slice_row.number,
            r.seq.is_(None),
        )
        .order_by(d.seq)
    )
    return tuple(
        LeasedDocument(
            seq=seq, text=text, context=context, params=from_json(params) or {}, messages=from_json(messages)
        )
        for seq, text, context, params, messages in rows
    )


def _lease(key: SliceKey, row: Any, documents: tuple[LeasedDocument, ...]) -> Lease:
    return Lease(
        key=key,
        attempt=row.attempt,
        task=Task(row.task),
        model=row.model,
        priority=Priority(row.priority),
        documents=documents,
        isolation=isolation(
            is_suspect=row.isolate, crash_count=row.crash_count, num_documents=len(documents)
        ),
        owner=row.owner,
    )


def heartbeat(
    database: Database, leases: Mapping[SliceKey, int], *, lease_seconds: float
) -> dict[SliceKey, LeaseState]:
    """Extends the leases that are still held; gives up in time for the next beat."""

    def work(connection: Connection) -> dict[SliceKey, LeaseState]:
        until = database.now(connection) + lease_seconds
        return {key: _beat(connection, key, attempt, until) for key, attempt in leases.items()}

    return database.write(work, within_seconds=lease_seconds / 3) if leases else {}


def _beat(connection: Connection, key: SliceKey, attempt: int, until: float) -> LeaseState:
    job = find_job(connection, key.job_id)
    if job is not None and job.status == JobStatus.CANCELLED:
        return LeaseState.CANCELLED
    is_held = (
        job is not None
        and job.status in OPEN
        and _change(connection, job.id, key, attempt, lease_until=until)
    )
    return LeaseState.HELD if is_held else LeaseState.LOST


def suspect(
    database: Database, key: SliceKey, attempt: int, seq: int, *, within_seconds: float | None = None
) -> bool:
    """Notes which document of an isolated slice is about to run, or that all are (`WHOLE_SLICE`)."""
    return database.write(
        lambda connection: _change_by_key(connection, key, attempt, suspect_seq=seq),
        within_seconds=within_seconds,
    )


def release(
    database: Database,
    key: SliceKey,
    attempt: int,
    *,
    delay_seconds: float,
    within_seconds: float | None = None,
) -> bool:
    """Gives the slice back; it may be sent again after the delay."""
    was_held = False  # also when this runs again after a COMMIT nobody heard

    def work(connection: Connection) -> bool:
        nonlocal was_held
        available_at = database.now(connection) + delay_seconds
        was_held |= _change_by_key(
            connection, key, attempt, state=str(SliceState.WAITING), available_at=available_at,
            sent_at=None, lease_owner=None, lease_until=None, suspect_seq=None,
        )  # fmt: skip
        return was_held

    return database.write(work, within_seconds=within_seconds)


def _change_by_key(connection: Connection, key: SliceKey, attempt: int, **values: Any) -> bool:
    job = find_job(connection, key.job_id)
    if job is None or job.status not in OPEN:
        return False
    return _change(connection, job.id, key, attempt, **values)


def _change(connection: Connection, row_id: int, key: SliceKey, attempt: int, **values: Any) -> bool:
    changed = connection.execute(update(t.slice_).where(held(row_id, key, attempt)).values(**values)).rowcount
    return bool(changed)


def held(row_id: int, key: SliceKey, attempt: int) -> ColumnElement[bool]:
    """The fence: true only for the slice's current holder."""
    c = t.slice_.c
    return (
        (c.job == row_id) & (c.number == key.number) & (c.state == SliceState.LEASED) & (c.attempt == attempt)
    )
