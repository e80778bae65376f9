"""Batches in SQL: what the ledger has of a job, with what an OpenAI client said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from types import SimpleNamespace
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, or_, select, update

from jobs.batches import Batch, BatchNotFound, Half, LineProblem, new_batch_id, problem_of
from jobs.echo import echoed
from jobs.errors import RequestError
from jobs.files import Place
from jobs.records import Job, NewBatch
from jobs.store import tables as t
from jobs.store.announcing import keep_telling, tell_refusal
from jobs.store.codec import batch_values, from_json, job_from_row, to_json, to_time
from jobs.store.database import Database
from jobs.store.outcomes import lock_job, running_of_each
from jobs.store.removal import hide, remove_soon
from jobs.store.stages import is_visible, status_of

_MOST_BATCHES = 100  # looked at in one sweep; the next goes on
#: A time that has been a datetime has lost what is below a microsecond.
_ROUNDING_SECONDS = 2e-6
#: Of a job's row, what is left of it when its results are deleted.
_KEPT = (
    "public_id", "owner", "status", "task", "model", "priority", "total", "succeeded", "failed", "cancelled",
    "expired", "input_tokens", "output_tokens", "created_at", "started_at", "finished_at", "expires_at",
    "metadata_json", "name", "tags_json", "error", "version", "kept_documents", "kept_tokens",
)  # fmt: skip


class BatchBook:
    """The batches of all owners. One with a job is made by `Store.submit`, and gone with its job."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_refused(self, owner: str, asked: NewBatch, problems: Sequence[LineProblem]) -> Batch:
        """Keeps a batch that cannot be run, with the reasons."""
        batch_id = new_batch_id()
        kept = to_json([asdict(problem) for problem in problems])

        def work(connection: Connection) -> None:
            c = t.batch.c
            if connection.scalar(select(c.id).where(c.public_id == batch_id)) is None:  # an unheard COMMIT
                now = self._database.now(connection)
                values = batch_values(batch_id, owner, asked, now)
                connection.execute(insert(t.batch).values(problems_json=kept, **values))
                tell_refusal(connection, owner, batch_id, now)

        self._database.write(work)
        return self.get(batch_id, owner=owner)

    def get(self, batch_id: str, *, owner: str) -> Batch:
        """One batch of this owner. Raises BatchNotFound for unknown and foreign batches alike."""
        return self._database.read(lambda connection: _batch(connection, _find(connection, batch_id, owner)))

    def repeated(self, request_sha256: str, *, owner: str, within_seconds: float) -> Batch | None:
        """The newest batch that the same call made a short time ago."""

        def work(connection: Connection) -> Batch | None:
            since = self._database.now(connection) - within_seconds
            c = t.batch.c
            wanted = _visible().where(c.owner == owner, c.request_sha256 == request_sha256)
            made_at = func.coalesce(t.job.c.created_at, c.created_at)  # a job's: of its last block
            row = connection.execute(wanted.where(made_at >= since).order_by(c.id.desc()).limit(1)).first()
            return None if row is None else _batch(connection, row)

        return self._database.read(work)

    def page(self, *, owner: str, after: str | None, limit: int) -> list[Batch]:
        """Batches, newest first.

        Raises:
            RequestError: `after` is no batch of this owner.
        """

        def work(connection: Connection) -> list[Batch]:
            c = t.batch.c
            wanted = _visible().where(c.owner == owner)
            if after is not None:
                try:
                    wanted = wanted.where(c.id < _find(connection, after, owner).id)
                except BatchNotFound:
                    raise RequestError(f"after={echoed(after)} is no batch of this list") from None
            return _batches(connection, connection.execute(wanted.order_by(c.id.desc()).limit(limit)).all())

        return self._database.read(work)

    def ended(self, *, owner: str, behind: Place | None, is_descending: bool, limit: int) -> list[Batch]:
        """Batches with results, in the order in which they ended.

        Those that ended at the very time of `behind` are among them, whatever its id is.
        """

        def work(connection: Connection) -> list[Batch]:
            c, j = t.batch.c, t.job.c
            wanted = _visible().where(c.owner == owner, j.finished_at.is_not(None))
            if behind is not None:
                latest, earliest = behind.seconds + _ROUNDING_SECONDS, behind.seconds - _ROUNDING_SECONDS
                at = j.finished_at
                wanted = wanted.where(at <= latest if is_descending else at >= earliest)
            order = [each.desc() if is_descending else each for each in (j.finished_at, c.public_id)]
            return _batches(connection, connection.execute(wanted.order_by(*order).limit(limit)).all())

        return self._database.read(work)

    def keep_size(self, batch: Batch, half: Half, num_bytes: int) -> None:
        """Notes how large a file is; it holds as long as the job is what it was."""
        assert batch.job is not None  # only a job has files
        version = batch.job.version

        def work(connection: Connection) -> None:
            c = t.batch.c
            row = connection.execute(select(t.batch).where(c.public_id == batch.id).with_for_update()).first()
            if row is None:
                return
            kept = from_json(row.sizes_json) or {}
            sizes = kept.get("sizes", {}) if kept.get("version") == version else {}
            noted = to_json({"version": version, "sizes": {**sizes, str(half): num_bytes}})
            connection.execute(update(t.batch).where(c.id == row.id).values(sizes_json=noted))

        self._database.write(work)

    def drop_file(self, batch_id: str, half: Half, *, owner: str) -> None:
        """Deletes one of a batch's files; with the last one, texts and results of the job go.

        Raises:
            BatchNotFound: there is no such batch, or no such file of it.
        """

        def work(connection: Connection) -> int | None:
            row = _find(connection, batch_id, owner, is_locked=True)
            batch = _batch(connection, row)
            if not batch.has_file(half):
                raise BatchNotFound(f"the batch {batch_id!r} has no such file")
            gone = batch.gone | {half}
            connection.execute(
                update(t.batch).where(t.batch.c.id == row.id).values(gone_json=to_json(sorted(gone)))
            )
            if any(batch.num_results(other) and other not in gone for other in Half):
                return None
            return _forget(connection, row)

        self._remove(self._database.write(work))

    def sweep(self, *, keep_seconds: float | None) -> None:
        """Deletes results whose time is over, and what is left of batches without any."""
        for row_id in self._database.read(self._overdue):
            self._remove(self._database.write(partial(self._end_results, row_id)))
        if keep_seconds is not None and self._database.read(partial(self._any_old, keep_seconds)):
            self._database.write(partial(self._delete_old, keep_seconds))

    def _overdue(self, connection: Connection) -> list[int]:
        wanted = select(t.batch.c.id).where(*self._are_over(connection))
        return list(connection.scalars(wanted.limit(_MOST_BATCHES)))

    def _are_over(self, connection: Connection) -> list[ColumnElement[bool]]:
        c, j = t.batch.c, t.job.alias().c
        # Not a join: SQLite without statistics would begin with all jobs there ever were.
        ended_at = select(j.finished_at).where(j.id == c.job).correlate(t.batch).scalar_subquery()
        ends_at = ended_at + c.results_seconds
        return [c.results_seconds.is_not(None), c.job.is_not(None), ends_at < self._database.now(connection)]

    def _end_results(self, row_id: int, connection: Connection) -> int | None:
        c = t.batch.c
        wanted = _visible().where(c.id == row_id, *self._are_over(connection))
        row = connection.execute(wanted.with_for_update(of=t.batch)).first()
        return None if row is None else _forget(connection, row)

    def _remove(self, job_row_id: int | None) -> None:
        if job_row_id is not None:
            remove_soon(self._database, job_row_id)

    def _any_old(self, keep_seconds: float, connection: Connection) -> bool:
        return connection.scalar(select(func.count()).where(*self._is_old(keep_seconds, connection))) != 0

    def _delete_old(self, keep_seconds: float, connection: Connection) -> None:
        connection.execute(delete(t.batch).where(*self._is_old(keep_seconds, connection)))

    def _is_old(self, keep_seconds: float, connection: Connection) -> list[ColumnElement[bool]]:
        c = t.batch.c
        return [c.job.is_(None), c.created_at < self._database.now(connection) - keep_seconds]


def _visible() -> Any:
    """Batches whose job is one that clients see, or that have none."""
    joined = t.batch.outerjoin(t.job, t.job.c.id == t.batch.c.job)
    return select(t.batch).select_from(joined).where(or_(t.batch.c.job.is_(None), is_visible()))


def _find(connection: Connection, batch_id: str, owner: str, *, is_locked: bool = False) -> Row[Any]:
    c = t.batch.c
    wanted = _visible().where(c.public_id == batch_id, c.owner == owner)
    row = None
    if "\0" not in batch_id:  # PostgreSQL would take the question itself for an error
        row = connection.execute(wanted.with_for_update(of=t.batch) if is_locked else wanted).first()
    if row is None:
        raise BatchNotFound(f"there is no batch {batch_id[:80]!r}")
    return row


def _forget(connection: Connection, row: Row[Any]) -> int | None:
    """Takes the job away from its batch, and from sight; the number of its row."""
    job = None if row.job is None else lock_job(connection, row.job)
    if job is None or not status_of(job).is_final:
        return None  # retried meanwhile
    ended = to_json({name: job._mapping[name] for name in _KEPT})
    connection.execute(update(t.batch).where(t.batch.c.id == row.id).values(job=None, ended_json=ended))
    keep_telling(connection, job.id)
    hide(connection, [job.id])
    return int(job.id)


def _batch(connection: Connection, row: Row[Any]) -> Batch:
    return _batches(connection, [row])[0]


def _batches(connection: Connection, rows: Sequence[Row[Any]]) -> list[Batch]:
    """The records of these rows, with their jobs."""
    numbers = [row.job for row in rows if row.job is not None]
    found = connection.execute(select(t.job).where(t.job.c.id.in_(numbers))).all() if numbers else []
    running = running_of_each(connection, numbers)
    jobs = {row.id: job_from_row(row, running=running.get(row.id, 0)) for row in found}
    return [_record(row, jobs.get(row.job)) for row in rows]


def _record(row: Row[Any], job: Job | None) -> Batch:
    created_at = to_time(row.created_at)
    assert created_at is not None  # the column is NOT NULL
    kept = from_json(row.sizes_json) or {}
    is_current = job is not None and kept.get("version") == job.version
    if row.ended_json is not None:
        job = job_from_row(SimpleNamespace(**from_json(row.ended_json)), running=0)  # type: ignore[arg-type]
    return Batch(
        id=row.public_id,
        owner=row.owner,
        asked=NewBatch(
            endpoint=row.endpoint, input_file=row.input_file, completion_window=row.completion_window,
            results_seconds=row.results_seconds, metadata=from_json(row.metadata_json),
            request_sha256=row.request_sha256,
        ),
        created_at=created_at,
        job=job,
        problems=tuple(problem_of(each) for each in from_json(row.problems_json) or ()),
        has_results=row.job is not None,
        sizes={Half(half): size for half, size in kept["sizes"].items()} if is_current else {},
        gone=frozenset(Half(half) for half in from_json(row.gone_json) or ()),
    )  # fmt: skip
