"""Reading results: what is settled, in the order of the input, and where it is still open."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Row, and_, func, select

from jobs import records
from jobs.errors import JobNotFound
from jobs.records import DocumentStatus, ResultFilter, ResultPage, Task
from jobs.store import tables as t
from jobs.store.codec import from_json
from jobs.store.database import Database
from jobs.store.outcomes import find_job


def results(
    database: Database, job_id: str, *, after: int, limit: int, only: ResultFilter
) -> list[records.ResultRow]:
    """Settled documents in the order of the input, gaps and all."""

    def work(connection: Connection) -> list[records.ResultRow]:
        return _rows(connection, _found(connection, job_id).id, after=after, limit=limit, only=only)

    return database.read(work)


def result_page(database: Database, job_id: str, *, after: int, limit: int, only: ResultFilter) -> ResultPage:
    """Settled documents up to the first that is open."""

    def work(connection: Connection) -> ResultPage:
        job = _found(connection, job_id)
        rows = _rows(connection, job.id, after=after, limit=limit + 1, only=only)
        is_full = len(rows) > limit
        rows = rows[:limit]
        end = rows[-1].seq if is_full else None
        stop = _first_open(connection, job, after=after, upto=end, only=only)
        if stop is not None:
            rows = [row for row in rows if row.seq < stop]
        return ResultPage(rows=rows, has_more=is_full or stop is not None)

    return database.read(work)


def count_results(database: Database, job_id: str, *, after: int, only: ResultFilter) -> int:
    """Settled documents behind `after` that pass the filter."""

    def work(connection: Connection) -> int:
        r = t.result.c
        wanted = [r.job == _found(connection, job_id).id, r.seq > after, *_passing(only)]
        source = _joined(t.result) if only.tasks or only.models else t.result
        return connection.scalar(select(func.count()).select_from(source).where(*wanted)) or 0

    return database.read(work)


def _found(connection: Connection, job_id: str) -> Row[Any]:
    job = find_job(connection, job_id)
    if job is None:
        raise JobNotFound(f"there is no job {job_id!r}")
    return job


def _joined(source: FromClause) -> FromClause:
    """Results (or documents) with what their document and its slice say."""
    d, r, s = t.document.c, t.result.c, t.slice_.c
    if source is t.result:
        source = t.result.join(t.document, (d.job == r.job) & (d.seq == r.seq))
    return source.join(t.slice_, (s.job == d.job) & (s.number == d.slice))


def _of_kind(only: ResultFilter) -> list[ColumnElement[bool]]:
    """What the filter wants of a slice."""
    s = t.slice_.c
    wanted: list[ColumnElement[bool]] = []
    if only.tasks:
        wanted.append(s.task.in_(sorted(only.tasks)))
    if only.models:
        wanted.append(s.model.in_(sorted(only.models)))
    return wanted


def _passing(only: ResultFilter) -> list[ColumnElement[bool]]:
    """What the filter wants of a result and its slice."""
    statuses = [t.result.c.status.in_(sorted(only.statuses))] if only.statuses else []
    return [*statuses, *_of_kind(only)]


def _rows(
    connection: Connection, row_id: int, *, after: int, limit: int, only: ResultFilter
) -> list[records.ResultRow]:
    d, r, s = t.document.c, t.result.c, t.slice_.c
    rows = connection.execute(
        select(
            r.seq, d.custom_id, r.status, s.task, s.model, r.output, r.error_code, r.error_message,
            r.input_tokens, r.output_tokens, r.truncated, d.metadata_json, r.provenance,
        )
        .select_from(_joined(t.result))
        .where(r.job == row_id, r.seq > after, *_passing(only))
        .order_by(r.seq)
        .limit(limit)
    )  # fmt: skip
    return [
        records.ResultRow(
            seq=seq, custom_id=custom_id, status=DocumentStatus(status), task=Task(task), model=model,
            output=from_json(output), error_code=code, error_message=message, input_tokens=tokens_in,
            output_tokens=tokens_out, truncated=bool(truncated), metadata=from_json(metadata),
            provenance=from_json(provenance),
        )
        for seq, custom_id, status, task, model, output, code, message, tokens_in, tokens_out, truncated,
        metadata, provenance in rows
    ]  # fmt: skip


def _first_open(
    connection: Connection, job: Row[Any], *, after: int, upto: int | None, only: ResultFilter
) -> int | None:
    """The first document without a result behind `after`, of those that could pass the filter.

    A document still open may get any status, so only its task and model tell.
    """
    if job.succeeded + job.failed + job.cancelled + job.expired >= job.total:
        return None
    d, r = t.document.c, t.result.c
    has_no_result = ~select(r.seq).where(and_(r.job == d.job, r.seq == d.seq)).exists()
    kind = _of_kind(only)
    wanted = [d.job == job.id, d.seq > after, has_no_result, *kind]
    if upto is not None:
        wanted.append(d.seq < upto)
    source = _joined(t.document) if kind else t.document
    statement = select(d.seq).select_from(source).where(*wanted).order_by(d.seq).limit(1)
    return connection.scalar(statement)
