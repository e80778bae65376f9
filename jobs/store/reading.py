"""Looking on: jobs, workers, backlog."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, case, delete, func, select

from jobs.echo import echoed
from jobs.errors import JobNotFound, RequestError
from jobs.listing import JobFilter
from jobs.records import Job, SliceState, Task, WorkerBeat
from jobs.store import tables as t
from jobs.store.codec import from_json, job_from_row, to_json
from jobs.store.database import Database
from jobs.store.listing import has_prefix
from jobs.store.outcomes import find_job, running_documents, running_of_each
from jobs.store.stages import QUEUED, UNSETTLED, is_unfinished, is_visible, stored_as

_MOST_ROW_ID = 2**63 - 1
_IDS_AT_A_TIME = 200


def get_job(database: Database, job_id: str, *, owner: str) -> Job:
    """One job of this owner."""

    def work(connection: Connection) -> Job:
        row = find_job(connection, job_id)
        if row is None or row.owner != owner:
            raise JobNotFound(f"there is no job {job_id!r}")
        return job_from_row(row, running=running_documents(connection, row.id))

    return database.read(work)


def has_submission(database: Database, idempotency_key: str, *, owner: str) -> bool:
    """Whether this owner has a job of that key."""
    c = t.job.c
    known = select(c.id).where(c.owner == owner, c.idempotency_key == idempotency_key)
    return database.read(lambda connection: connection.scalar(known)) is not None


def owner_of(database: Database, job_id: str) -> str:
    """Whose job it is."""
    row = database.read(lambda connection: find_job(connection, job_id))
    if row is None:
        raise JobNotFound(f"there is no job {job_id!r}")
    return str(row.owner)


def list_jobs(
    database: Database, *, owner: str | None, only: JobFilter, after: str | None, limit: int
) -> tuple[list[Job], str | None]:
    """A page of jobs, newest first. The cursor is the id of the last one."""

    def work(connection: Connection) -> tuple[list[Job], str | None]:
        cursor = None if after is None else _cursor(connection, after, owner)
        rows = _page(connection, owner, only, cursor=cursor, count=limit + 1)
        running = running_of_each(connection, [row.id for row in rows[:limit]])
        jobs = [job_from_row(row, running=running.get(row.id, 0)) for row in rows[:limit]]
        return jobs, (jobs[-1].id if len(rows) > limit else None)

    return database.read(work)


def _page(
    connection: Connection, owner: str | None, only: JobFilter, *, cursor: Row[Any] | None, count: int
) -> list[Row[Any]]:
    c = t.job.c
    # By id where ids are asked for: in the order of the index that has them.
    order = c.id if only.prefix is None else c.public_id
    page = select(t.job).where(*_of_the_row(only), *_of_others(only)).order_by(order.desc()).limit(count)
    if owner is not None:
        page = page.where(c.owner == owner)
    if cursor is not None:
        page = page.where(order < getattr(cursor, order.key))
    ids = _ids(connection, owner, only, before=_MOST_ROW_ID if cursor is None else int(cursor.id))
    return list(connection.execute(page).all()) if ids is None else _among(connection, page, ids, count)


def _ids(connection: Connection, owner: str | None, only: JobFilter, *, before: int) -> Iterator[int] | None:
    """Where the jobs' numbers are known from another table's index; None: the jobs' own are better."""
    if only.prefix is not None:
        return None
    if owner is not None and (only.task is not None or only.model is not None):
        return _holding(connection, owner, only.task, only.model, before=before)
    return None if only.tag is None else _tagged(connection, owner, only.tag, before=before)


def _of_the_row(only: JobFilter) -> list[ColumnElement[bool]]:
    """What a job's own row tells."""
    c = t.job.c
    asked = [is_visible() if only.status is None else c.status.in_(stored_as(only.status))]
    if only.name is not None:
        asked.append(c.name == only.name)
    if only.prefix is not None:
        asked.append(has_prefix(only.prefix))
    return asked


def _of_others(only: JobFilter) -> list[ColumnElement[bool]]:
    """What rows of other tables tell."""
    asked = []
    if only.tag is not None:
        asked.append(_has_tag(only.tag))
    if only.task is not None or only.model is not None:
        asked.append(_holds(only.task, only.model))
    return asked


def _cursor(connection: Connection, after: str, owner: str | None) -> Row[Any]:
    """The job that the page before ended with."""
    last = find_job(connection, after)
    if last is None or owner not in (None, last.owner):
        raise RequestError(f"after={echoed(after)} is not a cursor of this list")
    return last


def _has_tag(tag: str) -> ColumnElement[bool]:
    g = t.job_tag.c
    return select(g.job).where(g.job == t.job.c.id, g.tag == tag).exists()


def _holds(task: Task | None, model: str | None) -> ColumnElement[bool]:
    """Whether some document of the job is of the task and the model; None: of any."""
    s = t.slice_.c
    return select(s.number).where(s.job == t.job.c.id, *_of_kind(task, model)).exists()


def _of_kind(task: Task | None, model: str | None) -> list[ColumnElement[bool]]:
    s = t.slice_.c
    wanted = ((s.task, task), (s.model, model))
    return [column == value for column, value in wanted if value is not None]


def _tagged(connection: Connection, owner: str | None, tag: str, *, before: int) -> Iterator[int]:
    """Jobs with a tag, newest first."""
    g = t.job_tag.c
    of_owner = [] if owner is None else [g.owner == owner]
    query = select(g.job).where(*of_owner, g.tag == tag).order_by(g.job.desc()).limit(_IDS_AT_A_TIME)
    while found := connection.scalars(query.where(g.job < before)).all():
        yield from found
        before = found[-1]


def _holding(
    connection: Connection, owner: str, task: Task | None, model: str | None, *, before: int
) -> Iterator[int]:
    """An owner's jobs that hold such documents, newest first: each is one step into an index.

    In one query, a database would look at every job of the owner, or at every slice of the model.
    """
    s = t.slice_.c
    query = select(s.job).where(s.owner == owner, *_of_kind(task, model)).order_by(s.job.desc()).limit(1)
    while (job := connection.scalar(query.where(s.job < before))) is not None:
        yield job
        before = job


def _among(connection: Connection, page: Select[Any], ids: Iterator[int], count: int) -> list[Row[Any]]:
    """The first rows of the query that are of these jobs, read by the page."""
    rows: list[Row[Any]] = []
    while len(rows) < count and (some := list(islice(ids, count))):
        rows += connection.execute(page.where(t.job.c.id.in_(some))).all()
    return rows[:count]


def models_of(database: Database, job_id: str) -> list[str]:
    """The models of a job's documents."""

    def work(connection: Connection) -> list[str]:
        job = find_job(connection, job_id)
        if job is None:
            raise JobNotFound(f"there is no job {job_id!r}")
        s = t.slice_.c
        return sorted(connection.scalars(select(s.model).where(s.job == job.id).distinct()))

    return database.read(work)


def beat(database: Database, sign: WorkerBeat) -> None:
    """Keeps the latest sign of life of each worker."""

    def work(connection: Connection) -> None:
        values = {
            "worker_id": sign.worker_id,
            "device": sign.device,
            "models": to_json(sign.models),
            "warm_models": to_json(sign.warm_models),
            "loop_age_seconds": sign.loop_age_seconds,
            "details": to_json(dict(sign.details)),
            "seen_at": database.now(connection),
        }
        statement = database.insert(t.worker).values(values)
        connection.execute(statement.on_conflict_do_update(index_elements=["worker_id"], set_=values))

    database.write(work)


def forget_worker(database: Database, worker_id: str) -> None:
    """Removes a worker that left in order."""
    database.write(lambda c: c.execute(delete(t.worker).where(t.worker.c.worker_id == worker_id)) and None)


def workers(database: Database, *, max_age_seconds: float) -> list[WorkerBeat]:
    """Those heard of lately."""

    def work(connection: Connection) -> list[WorkerBeat]:
        now = database.now(connection)
        rows = connection.execute(select(t.worker).where(t.worker.c.seen_at >= now - max_age_seconds))
        return [
            WorkerBeat(
                worker_id=row.worker_id,
                device=row.device,
                models=tuple(from_json(row.models)),
                warm_models=tuple(from_json(row.warm_models)),
                loop_age_seconds=row.loop_age_seconds,
                details=from_json(row.details),
                age_seconds=max(0.0, now - row.seen_at),
            )
            for row in rows
        ]

    return database.read(work)


def backlog(database: Database) -> Mapping[str, int]:
    """What waits and what runs, over all jobs."""

    def work(connection: Connection) -> Mapping[str, int]:
        s, j = t.slice_.c, t.job.c
        # Only open jobs are looked at: nothing here costs more for what was ever finished.
        is_open = is_unfinished() & j.status.in_(UNSETTLED)
        settled = j.succeeded + j.failed + j.cancelled + j.expired
        num_open, oldest = connection.execute(
            select(
                func.coalesce(func.sum(j.total - settled), 0),
                func.min(case((j.status.in_(QUEUED), j.created_at))),
            ).where(is_open)
        ).one()
        jobs = select(j.id).where(is_open)

        def count(state: SliceState) -> int:
            statement = select(func.count()).where(s.job.in_(jobs), s.state == state)
            return connection.scalar(statement) or 0

        return {
            "waiting_slices": count(SliceState.WAITING),
            "leased_slices": count(SliceState.LEASED),
            "open_documents": int(num_open),
            "oldest_waiting_seconds": int(database.now(connection) - oldest) if oldest else 0,
        }

    return database.read(work)
