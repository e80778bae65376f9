"""Submitting: job, documents and slices in one transaction."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from jobs.blocks import in_blocks
from jobs.errors import EmptySubmission, IdempotencyKeyReused
from jobs.estimate import Estimator
from jobs.records import JobStatus, NewDocument, NewJob, SliceState, new_job_id
from jobs.slicing import SlicePlanner
from jobs.store import tables as t
from jobs.store.codec import to_json
from jobs.store.database import Database
from jobs.store.facts import known_facts


def submit(
    database: Database,
    job: NewJob,
    documents: Iterable[NewDocument],
    *,
    slice_tokens: int,
    slice_documents: int,
) -> tuple[str, bool]:
    """Stores everything, or finds the job an equal request made before.

    Returns:
        The job's id, and whether it is new.
    """

    def work(connection: Connection) -> tuple[str, bool]:
        known = _replayed(connection, job)
        if known:
            return known, False
        planner = SlicePlanner(
            slice_tokens=slice_tokens,
            slice_documents=slice_documents,
            priority=job.priority,
            estimator=Estimator(known_facts(connection)),
        )
        public_id = new_job_id()
        row_id = _insert_job(connection, job, public_id, database.now(connection))
        total = _insert_documents(connection, row_id, documents, planner)
        if not total:
            raise EmptySubmission
        _insert_slices(connection, row_id, planner, job)
        connection.execute(t.job.update().where(t.job.c.id == row_id).values(total=total))
        return public_id, True

    try:
        # One try: the documents are a stream and cannot be read twice.
        return database.write(work, tries=1)
    except IntegrityError:
        # On PostgreSQL two equal submissions may race: the loser's INSERT waits for the
        # winner's COMMIT, then breaks the unique key. By now the winner can be read.
        known = database.read(lambda connection: _replayed(connection, job))
        if known is None:
            raise
        return known, False


def _replayed(connection: Connection, job: NewJob) -> str | None:
    if job.idempotency_key is None:
        return None
    row = connection.execute(
        select(t.job.c.public_id, t.job.c.request_sha256).where(
            t.job.c.owner == job.owner, t.job.c.idempotency_key == job.idempotency_key
        )
    ).first()
    if row is None:
        return None
    if row.request_sha256 != job.request_sha256:
        raise IdempotencyKeyReused
    return str(row.public_id)


def _insert_job(connection: Connection, job: NewJob, public_id: str, now: float) -> int:
    values = {
        "public_id": public_id,
        "owner": job.owner,
        "api_key": job.api_key,
        "stored_bytes": job.stored_bytes,
        "idempotency_key": job.idempotency_key,
        "request_sha256": job.request_sha256,
        "task": job.task,
        "model": job.model,
        "params": to_json(dict(job.params)),
        "priority": int(job.priority),
        "metadata_json": to_json(dict(job.metadata)),
        "webhook": job.webhook,
        "status": JobStatus.QUEUED,
        "total": 0,
        "created_at": now,
        "expires_at": job.expires_at.timestamp() if job.expires_at else None,
        "estimated_tokens": job.estimated_tokens,
    }
    key = connection.execute(insert(t.job).values(values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def _insert_documents(
    connection: Connection, row_id: int, documents: Iterable[NewDocument], planner: SlicePlanner
) -> int:
    total = 0
    for block in in_blocks(documents):
        connection.execute(insert(t.document), [_document(row_id, d, planner) for d in block])
        total += len(block)
    return total


def _document(row_id: int, document: NewDocument, planner: SlicePlanner) -> dict[str, Any]:
    return {
        "job": row_id,
        "seq": document.seq,
        "slice": planner.place(document),
        "custom_id": document.custom_id,
        "text": document.text,
        "context": document.context,
        "messages_json": to_json(list(document.messages)) if document.messages else None,
        "params": to_json(dict(document.params)) if document.params else None,
        "metadata_json": to_json(dict(document.metadata)) if document.metadata else None,
        "crash_count": 0,
    }


def _insert_slices(connection: Connection, row_id: int, planner: SlicePlanner, job: NewJob) -> None:
    rows = [
        {
            "job": row_id,
            "number": s.number,
            "task": s.task,
            "model": s.model,
            "priority": int(job.priority),
            "state": SliceState.WAITING,
            "first_seq": s.first_seq,
            "last_seq": s.last_seq,
            "num_open": s.num_documents,
            "owner": job.owner,
        }
        for s in planner.slices
    ]
    connection.execute(insert(t.slice_), rows)
