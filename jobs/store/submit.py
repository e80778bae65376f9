"""Submitting: documents and slices in blocks, and a job that nobody sees before the last.

Each block is one short transaction, so that others write in between, however large the
job. The last one makes the job visible, by its one row; what never comes so far is removed,
by this process or, when it has died, by a sweep.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.exc import IntegrityError

from jobs.batches import batch_id_of
from jobs.blocks import in_blocks, knowing_the_last
from jobs.errors import EmptySubmission, IdempotencyKeyReused, StoreUnavailable
from jobs.estimate import Estimator
from jobs.records import JobStatus, NewDocument, NewJob, SliceState, new_job_id
from jobs.slicing import PlannedSlice, SlicePlanner
from jobs.store import tables as t
from jobs.store.announcing import NOT_TOLD, add_hook
from jobs.store.codec import batch_values, to_json
from jobs.store.database import Database
from jobs.store.facts import known_facts
from jobs.store.removal import remove_soon
from jobs.store.stages import Stage

_log = logging.getLogger(__name__)


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
    known = _replayed(database, job)
    if known:
        return known, False
    planner = SlicePlanner(
        slice_tokens=slice_tokens,
        slice_documents=slice_documents,
        priority=job.priority,
        estimator=Estimator(database.read(known_facts)),
    )
    arrival = _Arrival(database, job, planner)
    try:
        for block, is_last in knowing_the_last(in_blocks(documents)):
            arrival.store(block, is_last=is_last)
    except IntegrityError:
        # An equal submission came in beside this one and was there first: its key is taken.
        arrival.give_up()
        known = _replayed(database, job)
        if known is None:
            raise
        return known, False
    except BaseException:
        arrival.give_up()
        raise
    if not arrival.num_documents:
        raise EmptySubmission
    return arrival.public_id, True


class _Arrival:
    """A job on its way in."""

    def __init__(self, database: Database, job: NewJob, planner: SlicePlanner) -> None:
        self.public_id = job.id or new_job_id()
        self.num_documents = 0
        self._database = database
        self._job = job
        self._planner = planner

    def store(self, block: Sequence[NewDocument], *, is_last: bool) -> None:
        """Brings in the next documents, and the slices that are full.

        Raises:
            IntegrityError: at the last block: the idempotency key is taken.
            StoreUnavailable: also when a sweep took this arrival for dead.
        """
        documents = [_document(document, self._planner.place(document)) for document in block]
        slices = [_slice(each, self._job) for each in self._planner.take_closed()]
        if is_last:
            slices += [_slice(each, self._job) for each in self._planner.take_all()]
        is_first = not self.num_documents

        def work(connection: Connection) -> None:
            row_id = self._row(connection, documents[0]["seq"], is_first=is_first)
            if row_id is None:
                return  # the COMMIT nobody heard went through
            connection.execute(insert(t.document), [{"job": row_id, **each} for each in documents])
            if slices:
                connection.execute(insert(t.slice_), [{"job": row_id, **each} for each in slices])
            now = self._database.now(connection)
            self._note(connection, row_id, now, self.num_documents + len(documents), is_last=is_last)

        self._database.write(work, gives_way=not (is_first and is_last))
        self.num_documents += len(documents)
        if not is_last:
            self._database.give_way()

    def _row(self, connection: Connection, first_seq: int, *, is_first: bool) -> int | None:
        """The row of the job, made if it is time; None when these documents are there already."""
        c, d = t.job.c, t.document.c
        row = connection.execute(
            select(c.id, c.status).where(c.public_id == self.public_id).with_for_update()
        ).first()
        if row is None and is_first:
            return _insert_job(connection, self._job, self.public_id, self._database.now(connection))
        if row is None or row.status == Stage.LEAVING:
            raise StoreUnavailable("the submission took so long that it was given up: submit again")
        has_block = connection.scalar(select(d.seq).where(d.job == row.id, d.seq == first_seq))
        return None if has_block is not None else int(row.id)

    def _note(
        self, connection: Connection, row_id: int, now: float, num_documents: int, *, is_last: bool
    ) -> None:
        """Shows that the arrival lives, and at its end makes it a job."""
        values: dict[str, Any] = {"created_at": now, "total": num_documents}
        if is_last:
            values |= {"status": JobStatus.QUEUED, "idempotency_key": self._job.idempotency_key}
        connection.execute(update(t.job).where(t.job.c.id == row_id).values(**values))

    def give_up(self) -> None:
        """Removes what has come in; what this cannot do, a sweep will."""
        c = t.job.c

        def work(connection: Connection) -> int | None:
            statement = (
                update(t.job)
                .where(c.public_id == self.public_id, c.status == Stage.ARRIVING)
                .values(status=Stage.LEAVING)
            )
            found: int | None = connection.scalar(statement.returning(c.id))
            return found

        try:
            row_id = self._database.write(work)
            if row_id is not None:
                remove_soon(self._database, row_id)
        except StoreUnavailable as error:
            _log.warning("arrival_left_to_the_sweep: %s", error)


def _replayed(database: Database, job: NewJob) -> str | None:
    """The id of the job that an equal request made.

    Raises:
        IdempotencyKeyReused: the request with that key was another one.
    """
    if job.idempotency_key is None:
        return None
    c = t.job.c
    statement = select(c.public_id, c.request_sha256).where(
        c.owner == job.owner, c.idempotency_key == job.idempotency_key
    )
    row = database.read(lambda connection: connection.execute(statement).first())
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
        "request_sha256": job.request_sha256,
        "task": job.task,
        "model": job.model,
        "params": to_json(dict(job.params)),
        "priority": int(job.priority),
        "metadata_json": to_json(dict(job.metadata)),
        "name": job.name,
        "tags_json": to_json(list(job.tags)),
        "webhook": None if job.is_told else NOT_TOLD,
        "status": Stage.ARRIVING,
        "total": 0,
        "created_at": now,
        "expires_at": job.expires_at.timestamp() if job.expires_at else None,
        "estimated_tokens": job.estimated_tokens,
    }
    key = connection.execute(insert(t.job).values(values)).inserted_primary_key
    assert key is not None
    row_id = int(key[0])
    if job.tags:
        connection.execute(
            insert(t.job_tag), [{"job": row_id, "owner": job.owner, "tag": tag} for tag in job.tags]
        )
    if job.batch is not None:  # seen together with the job, and gone with it
        values = batch_values(batch_id_of(public_id), job.owner, job.batch, now)
        connection.execute(insert(t.batch).values(job=row_id, **values))
    if job.webhook is not None:
        add_hook(connection, job.webhook, owner=job.owner, now=now, job=row_id)
    return row_id


def _document(document: NewDocument, slice_number: int) -> dict[str, Any]:
    return {
        "seq": document.seq,
        "slice": slice_number,
        "custom_id": document.custom_id,
        "text": document.text,
        "context": document.context,
        "messages_json": to_json(list(document.messages)) if document.messages else None,
        "params": to_json(dict(document.params)) if document.params else None,
        "metadata_json": to_json(dict(document.metadata)) if document.metadata else None,
        "crash_count": 0,
    }


def _slice(planned: PlannedSlice, job: NewJob) -> dict[str, Any]:
    return {
        "number": planned.number,
        "task": planned.task,
        "model": planned.model,
        "priority": int(job.priority),
        "state": SliceState.WAITING,
        "first_seq": planned.first_seq,
        "last_seq": planned.last_seq,
        "num_open": planned.num_documents,
        "owner": job.owner,
    }
