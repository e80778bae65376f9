"""Reading results: what is settled, in the order of the input, and where it is still open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, CursorResult, FromClause, Row, func, select, true

from jobs import records
from jobs.errors import JobNotFound
from jobs.records import DocumentStatus, Outcome, ResultFilter, ResultPage, Task
from jobs.store import tables as t
from jobs.store.codec import from_json
from jobs.store.database import Database
from jobs.store.outcomes import find_job
from jobs.store.stages import unwritten

#: A page ends behind the row with which its rows hold so many characters: a row may hold a million.
_PAGE_CHARACTERS = 8_000_000
#: Rows that are fetched at a time.
_FETCHED_ROWS = 100


def result_page(
    database: Database, job_id: str, *, after: int, limit: int, only: ResultFilter, has_gaps: bool
) -> ResultPage:
    """Settled documents in the order of the input: with gaps, or up to the first that is open."""

    def work(connection: Connection) -> ResultPage:
        job = _found(connection, job_id)
        page = _settled(connection, job, after=after, limit=limit, only=only)
        end = page.rows[-1].seq if page.has_more else None
        stop = None if has_gaps else _first_open(connection, job, after=after, upto=end, only=only)
        if stop is None:
            return page
        return ResultPage(rows=[row for row in page.rows if row.seq < stop], has_more=True, is_open_next=True)

    return database.read(work)


def count_results(database: Database, job_id: str, *, after: int, only: ResultFilter) -> int:
    """Settled documents behind `after` that pass the filter."""

    def work(connection: Connection) -> int:
        job = _found(connection, job_id)
        if after < 0 and not (only.tasks or only.models):
            counted = {
                DocumentStatus.SUCCEEDED: job.succeeded, DocumentStatus.FAILED: job.failed,
                DocumentStatus.CANCELLED: job.cancelled, DocumentStatus.EXPIRED: job.expired,
            }  # fmt: skip
            return sum(n for status, n in counted.items() if not only.statuses or status in only.statuses)
        view = _view(job, only, after=after)
        return connection.scalar(select(func.count()).select_from(view.source).where(*view.wanted)) or 0

    return database.read(work)


def _found(connection: Connection, job_id: str) -> Row[Any]:
    job = find_job(connection, job_id)
    if job is None:
        raise JobNotFound(f"there is no job {job_id!r}")
    return job


@dataclass(frozen=True)
class _View:
    """Where the results of a job stand, and which of the rows there are asked for."""

    source: FromClause
    seq: ColumnElement[int]
    wanted: list[ColumnElement[bool]]


def _view(job: Row[Any], only: ResultFilter, *, after: int) -> _View:
    """The results of a job behind `after`, those included that have no row of their own.

    Every table is told the job and the place by itself: PostgreSQL takes an equality from one
    table to the other, but no range, and then joins by reading a job from its beginning.
    """
    d, r = t.document.c, t.result.c
    rest = unwritten(job)
    statuses: ColumnElement[bool] = r.status.in_(sorted(only.statuses)) if only.statuses else true()
    of_job = (r.job == job.id) & (r.seq > after)
    if rest is None or (only.statuses and rest.status not in only.statuses):
        wanted = [of_job, _counts(job), statuses]
        if only.statuses and DocumentStatus.SUCCEEDED not in only.statuses:
            wanted.append(t.is_no_success())
        its_document = (d.job == job.id) & (d.seq == r.seq) & (d.seq > after)
        return _View(t.result, r.seq, [*wanted, *_is_of_kind(job, its_document, only)])
    source = t.document.outerjoin(t.result, _same & of_job & _counts(job))
    wanted = [d.job == job.id, d.seq > after, statuses | r.seq.is_(None)]
    return _View(source, d.seq, [*wanted, *_is_of_kind(job, None, only)])


_same = (t.document.c.job == t.result.c.job) & (t.document.c.seq == t.result.c.seq)


def _is_of_kind(
    job: Row[Any], its_document: ColumnElement[bool] | None, only: ResultFilter
) -> list[ColumnElement[bool]]:
    """What the filter wants of the slice of a document: of the one at hand, or of the one that is named."""
    kind = _of_kind(only)
    if not kind:
        return []
    s = t.slice_.c
    its_slice = (s.job == job.id) & (s.number == t.document.c.slice)
    if its_document is None:
        return [select(s.number).where(its_slice, *kind).correlate(t.document).exists()]
    source = t.document.join(t.slice_, its_slice)
    found = select(s.number).select_from(source).where(its_document, *kind)
    return [found.correlate(t.result).exists()]


def _counts(job: Row[Any]) -> ColumnElement[bool]:
    """Whether a result row is the job's: what a retry has yet to remove is not."""
    return true() if job.reopen_from is None else t.result.c.status == DocumentStatus.SUCCEEDED


def _of_kind(only: ResultFilter) -> list[ColumnElement[bool]]:
    """What the filter wants of a slice."""
    s = t.slice_.c
    wanted: list[ColumnElement[bool]] = []
    if only.tasks:
        wanted.append(s.task.in_(sorted(only.tasks)))
    if only.models:
        wanted.append(s.model.in_(sorted(only.models)))
    return wanted


def _settled(
    connection: Connection, job: Row[Any], *, after: int, limit: int, only: ResultFilter
) -> ResultPage:
    """As many as were asked for, or as are held at a time."""
    rest = unwritten(job)
    rows: list[records.ResultRow] = []
    num_characters = 0
    with _found_rows(connection, job, after=after, limit=limit + 1, only=only) as found:
        for some in found.partitions(_FETCHED_ROWS):
            documents = _documents(connection, job, [row.seq for row in some])
            for row in some:
                if len(rows) == limit or num_characters >= _PAGE_CHARACTERS:
                    return ResultPage(rows=rows, has_more=True)
                document = documents[row.seq]
                rows.append(_result(row, document, rest))
                texts = (row.output, document.metadata_json, row.error_message)
                num_characters += sum(len(text or "") for text in texts)
    return ResultPage(rows=rows, has_more=False)


def _found_rows(
    connection: Connection, job: Row[Any], *, after: int, limit: int, only: ResultFilter
) -> CursorResult[Any]:
    """Fetched as they are read: nobody need hold them all."""
    r = t.result.c
    view = _view(job, only, after=after)
    return connection.execute(
        select(
            view.seq, r.status, r.output, r.error_code, r.error_message, r.input_tokens, r.output_tokens,
            r.truncated, r.provenance,
        )
        .select_from(view.source)
        .where(*view.wanted)
        .order_by(view.seq)
        .limit(limit)
        .execution_options(yield_per=_FETCHED_ROWS)
    )  # fmt: skip


def _documents(connection: Connection, job: Row[Any], seqs: list[int]) -> dict[int, Any]:
    """What the results say of their documents.

    Asked by number, for whatever statistics say, that is by the key. In one query with the results
    a database may join by reading all documents between two rare results, or all of the job.
    """
    d, s = t.document.c, t.slice_.c
    source = t.document.join(t.slice_, (s.job == job.id) & (s.number == d.slice))
    rows = connection.execute(
        select(d.seq, d.custom_id, d.metadata_json, s.task, s.model)
        .select_from(source)
        .where(d.job == job.id, d.seq.in_(seqs))
    )
    return {row.seq: row for row in rows}


def _result(row: Row[Any], document: Any, rest: Outcome | None) -> records.ResultRow:
    """The record of one row; of one without a result, what `rest` says of all those."""
    status, code, message = row.status, row.error_code, row.error_message
    if status is None:
        assert rest is not None  # only the results of an ended job are joined from the outside
        status, code, message = rest.status, rest.error_code, rest.error_message
    return records.ResultRow(
        seq=row.seq, custom_id=document.custom_id, status=DocumentStatus(status), task=Task(document.task),
        model=document.model, output=from_json(row.output), error_code=code, error_message=message,
        input_tokens=row.input_tokens or 0, output_tokens=row.output_tokens or 0,
        truncated=bool(row.truncated), metadata=from_json(document.metadata_json),
        provenance=from_json(row.provenance),
    )  # fmt: skip


def _first_open(
    connection: Connection, job: Row[Any], *, after: int, upto: int | None, only: ResultFilter
) -> int | None:
    """The first document without a result behind `after`, of those that could pass the filter.

    A document still open may get any status, so only its task and model tell.
    """
    if job.succeeded + job.failed + job.cancelled + job.expired >= job.total:
        return None
    d, r = t.document.c, t.result.c
    of_job = (r.job == job.id) & (r.seq > after)
    wanted = [d.job == job.id, d.seq > after, *_is_of_kind(job, None, only)]
    if upto is not None:
        of_job &= r.seq < upto
        wanted.append(d.seq < upto)
    has_no_result = ~select(r.seq).where(_same & of_job & _counts(job)).correlate(t.document).exists()
    return connection.scalar(
        select(d.seq).select_from(t.document).where(*wanted, has_no_result).order_by(d.seq).limit(1)
    )
