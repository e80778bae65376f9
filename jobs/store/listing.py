"""Lists of jobs for people: searched, filtered and sorted, a page at a time.

No question looks at more than `MOST_LOOKED_AT` jobs, so that none takes long however many there
are; where that ends a search, the page says so, and its cursor goes on behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, false, func, or_, select, tuple_

from jobs.listing import JobOrder, JobSearch, JobsFound
from jobs.records import Job, JobStatus
from jobs.store import tables as t
from jobs.store.codec import job_from_row, to_json
from jobs.store.database import Database
from jobs.store.outcomes import find_job, running_of_each
from jobs.store.stages import QUEUED, is_visible, stored_as

MOST_LOOKED_AT = 20_000
_IDS_AT_A_TIME = 200
_ID_BEGINS, _ID_DIGITS = "job_", 32  # `jobs.records.new_job_id`
_HEXADECIMAL = frozenset("0123456789abcdef")


def search_jobs(
    database: Database,
    search: JobSearch,
    *,
    owner: str | None,
    after: str | None,
    before: str | None,
    limit: int,
) -> JobsFound:
    """A page of an owner's jobs, or everybody's; behind `after`, or before `before`.

    A cursor whose job is gone begins anew.
    """

    def work(connection: Connection) -> JobsFound:
        cursor = _cursor(connection, after or before, owner)
        walk = _Walk(search, owner, cursor, is_back=bool(before) and cursor is not None)
        rows = walk.rows(connection, limit + 1)
        has_more, rows = len(rows) > limit, rows[:limit]
        edge = None if has_more else walk.edge
        if walk.is_back:
            rows = rows[::-1]
        jobs = _jobs(connection, rows)
        first, last = (jobs[0].id, jobs[-1].id) if jobs else (None, None)
        if walk.is_back:
            return JobsFound(jobs=jobs, before=first if has_more else edge, after=last)
        return JobsFound(
            jobs=jobs,
            before=None if cursor is None else first,
            after=last if has_more else edge,
            looked_at=None if edge is None else MOST_LOOKED_AT,
        )

    return database.read(work)


def count_jobs(database: Database, *, owner: str | None) -> dict[JobStatus, int]:
    """How many there are in each status; from an index alone."""

    def work(connection: Connection) -> dict[JobStatus, int]:
        c = t.job.c
        statement = select(c.status, func.count()).where(*_of(owner), is_visible()).group_by(c.status)
        counts: dict[JobStatus, int] = {}
        for status, count in connection.execute(statement):
            shown = JobStatus.QUEUED if status in QUEUED else JobStatus(status)
            counts[shown] = counts.get(shown, 0) + count
        return counts

    return database.read(work)


def jobs_of(database: Database, ids: Sequence[str]) -> list[Job]:
    """Those of the jobs that there are, whoever owns them."""

    def work(connection: Connection) -> list[Job]:
        found: list[Job] = []
        for at in range(0, len(ids), _IDS_AT_A_TIME):
            some = ids[at : at + _IDS_AT_A_TIME]
            statement = select(t.job).where(t.job.c.public_id.in_(some), is_visible())
            found += _jobs(connection, connection.execute(statement).all())
        return found

    return database.read(work)


def newest_job(database: Database, *, owner: str | None) -> str | None:
    """The id of the last one that came in."""
    c = t.job.c
    statement = select(c.public_id).where(*_of(owner), is_visible()).order_by(c.id.desc()).limit(1)
    return database.read(lambda connection: connection.scalar(statement))


def has_prefix(prefix: str) -> ColumnElement[bool]:
    """Whether a job's id begins so.

    Between the first and the last id that do: of equally long ones, all databases think alike which
    comes first, whatever language they sort by, and an index tells.
    """
    digits = prefix.removeprefix(_ID_BEGINS)
    if digits == prefix or not _HEXADECIMAL.issuperset(digits) or len(digits) > _ID_DIGITS:
        return false()
    first, last = (_ID_BEGINS + digits.ljust(_ID_DIGITS, edge) for edge in "0f")
    return t.job.c.public_id.between(first, last)


class _Walk:
    """Through the jobs in their order, from a cursor on, or back from it."""

    def __init__(
        self, search: JobSearch, owner: str | None, cursor: Row[Any] | None, *, is_back: bool
    ) -> None:
        self._search = search
        self._owner = owner
        self._cursor = cursor
        self.is_back = is_back
        #: the last job that was looked at, when there are more
        self.edge: str | None = None
        by = {JobOrder.LARGEST: [t.job.c.total], JobOrder.MOST_FAILED: [t.job.c.failed]}
        self._keys: list[ColumnElement[Any]] = [*by.get(search.order, []), t.job.c.id]
        self._is_down = (search.order is not JobOrder.OLDEST) is not is_back

    def rows(self, connection: Connection, count: int) -> list[Row[Any]]:
        """The next jobs that are asked for."""
        asked = _asked(self._search)
        is_by_age = len(self._keys) == 1
        bounds = self._bounds(connection, is_by_age=is_by_age) if asked or not is_by_age else []
        turned = [key.desc() if self._is_down else key.asc() for key in self._keys]
        statement = select(t.job).where(*_of(self._owner), is_visible(), *asked, *self._behind(), *bounds)
        return list(connection.execute(statement.order_by(*turned).limit(count)).all())

    def _behind(self) -> list[ColumnElement[bool]]:
        if self._cursor is None:
            return []
        here = tuple_(*self._keys)
        there = tuple_(*(getattr(self._cursor, key.key or "") for key in self._keys))
        return [here < there if self._is_down else here > there]

    def _bounds(self, connection: Connection, *, is_by_age: bool) -> list[ColumnElement[bool]]:
        """Up to where is looked: by age from the cursor on, by size among the newest."""
        c = t.job.c
        is_down = self._is_down or not is_by_age
        statement = select(c.id, c.public_id).where(*_of(self._owner))
        if is_by_age and self._cursor is not None:
            statement = statement.where(c.id < self._cursor.id if is_down else c.id > self._cursor.id)
        turned = c.id.desc() if is_down else c.id.asc()
        last = connection.execute(statement.order_by(turned).offset(MOST_LOOKED_AT - 1).limit(1)).first()
        if last is None:
            return []
        self.edge = last.public_id if is_by_age else None
        return [c.id >= last.id if is_down else c.id <= last.id]


def _asked(search: JobSearch) -> list[ColumnElement[bool]]:
    c = t.job.c
    asked: list[ColumnElement[bool]] = []
    if search.words:
        asked.append(_has_words(search.words))
    if search.statuses:
        stored = {name for status in search.statuses for name in stored_as(status)}
        asked.append(c.status.in_(sorted(stored)))
    if search.task is not None:
        asked.append(_holds(t.slice_.c.task == search.task))
    if search.model is not None:
        asked.append(_holds(t.slice_.c.model == search.model))
    if search.has_failures:
        asked.append(c.failed > 0)
    return asked


def _has_words(words: str) -> ColumnElement[bool]:
    c = t.job.c
    if words.startswith(_ID_BEGINS):
        return has_prefix(words)
    written = to_json(words)[1:-1]  # as it stands in JSON, without quotes
    return (
        (c.model == words)
        | c.name.icontains(words, autoescape=True)
        | or_(*(column.icontains(written, autoescape=True) for column in (c.metadata_json, c.tags_json)))
    )


def _holds(is_wanted: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether some slice of the job is such; with the owner, one step into an index tells."""
    s = t.slice_.c
    return select(s.number).where(s.owner == t.job.c.owner, s.job == t.job.c.id, is_wanted).exists()


def _of(owner: str | None) -> list[ColumnElement[bool]]:
    return [] if owner is None else [t.job.c.owner == owner]


def _cursor(connection: Connection, job_id: str | None, owner: str | None) -> Row[Any] | None:
    row = None if job_id is None else find_job(connection, job_id)
    return row if row is not None and owner in (None, row.owner) else None


def _jobs(connection: Connection, rows: Sequence[Row[Any]]) -> list[Job]:
    running = running_of_each(connection, [row.id for row in rows])
    return [job_from_row(row, running=running.get(row.id, 0)) for row in rows]
