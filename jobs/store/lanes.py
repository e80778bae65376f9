"""What owners have waiting and what they have out, read lane by lane inside one transaction.

Every question is answered from an index by a few rows, however much waits: lanes are found by
skipping from one to the next, and of a lane only its head is looked at.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select, true, update

from jobs.records import Priority, SliceKey, SliceState, SliceTicket, Task
from jobs.shares import Lane
from jobs.store import tables as t
from jobs.store.stages import OPEN

_s = t.slice_.c
_LANE = (_s.owner, _s.priority, _s.model)


class Lanes:
    """The lanes of all owners, or those of one job."""

    def __init__(
        self, connection: Connection, *, now: float, lost_before: float, window: int, job_id: str | None,
        holders: frozenset[str] | None,
    ) -> None:  # fmt: skip
        """Reads what is out.

        Args:
            connection: inside the transaction that will send.
            now: by the store's clock, in seconds.
            lost_before: what was sent until then and is not claimed is taken for lost.
            window: slices of one job that may be out at a time.
            job_id: only this job sends.
            holders: the workers that run; what others hold is not out. None: whoever holds a slice runs.
        """
        self._connection = connection
        self._now = now
        self._window = window
        self._only_job = None if job_id is None else _row_id(connection, job_id)
        self._forget_lost(lost_before)
        self._out_of_lane: Counter[Lane] = Counter()
        self._out_of_job: Counter[int] = Counter()
        self._full_until: Counter[Lane] = Counter()  # up to this job, all of a lane have their window out
        for row in self._read_out(holders):
            self._out_of_lane[_lane(row)] += row.slices
            self._out_of_job[row.job] += row.slices

    def out(self) -> Counter[Lane]:
        """Slices that are with workers that run, or on their way to them."""
        return self._out_of_lane

    def waiting(self) -> dict[Lane, float]:
        """The lanes that have something to send, with the time at which their oldest job came."""
        found: dict[Lane, float] = {}
        lane: Lane | None = None
        while (row := self._first_behind(lane)) is not None:
            lane = _lane(row)
            found[lane] = row.created_at
        return found

    def send(self, lane: Lane, *, out: int) -> SliceTicket | None:
        """Marks the lane's next slice as sent; None when there is none that may be.

        The oldest job of a lane has half of its turns, the others share the rest by how far they
        are: a small job overtakes a large one, and a stream of small ones does not stop it.
        """
        oldest = self._oldest(lane)
        if oldest is None:
            return None
        has_its_half = 2 * self._out_of_job[oldest.job] > out if out else random.random() < 0.5
        least = self._head(lane, _s.number, _s.job) if has_its_half else None
        return self._mark(lane, oldest if least is None or self._is_full(least.job) else least)

    def _oldest(self, lane: Lane) -> Row[Any] | None:
        """The next slice of the oldest job that may have more out."""
        while (row := self._head(lane, _s.job, _s.number, after=self._full_until[lane])) is not None:
            if not self._is_full(row.job):
                return row
            self._full_until[lane] = row.job  # and full it stays
        return None

    def _is_full(self, job: int) -> bool:
        return self._out_of_job[job] >= self._window

    def _first_behind(self, lane: Lane | None) -> Row[Any] | None:
        """The first slice of the next lane."""
        created_at = select(t.job.c.created_at).where(t.job.c.id == _s.job).scalar_subquery()
        query = self._sendable(select(*_LANE, created_at.label("created_at")))
        query = query.order_by(*_LANE, _s.job, _s.number).limit(1)
        for behind in _ranges_behind(lane):
            row = self._connection.execute(query.where(behind)).first()
            if row is not None:
                return row
        return None

    def _head(self, lane: Lane, *order: ColumnElement[int], after: int = 0) -> Row[Any] | None:
        """The first slice of a lane, of the jobs behind one."""
        query = self._sendable(select(_s.job, _s.number)).where(
            _s.owner == lane.owner, _s.priority == int(lane.priority), _s.model == lane.model
        )  # fmt: skip
        if after:
            query = query.where(_s.job > after)
        return self._connection.execute(query.order_by(*order).limit(1)).first()

    def _mark(self, lane: Lane, row: Row[Any]) -> SliceTicket:
        marked = self._connection.execute(
            update(t.slice_)
            .where(_s.job == row.job, _s.number == row.number)
            .values(sent_at=self._now)
            .returning(_s.task, _s.num_open)
        ).one()
        self._out_of_job[row.job] += 1
        public_id = self._connection.execute(select(t.job.c.public_id).where(t.job.c.id == row.job))
        return SliceTicket(
            key=SliceKey(job_id=public_id.scalar_one(), number=row.number),
            task=Task(marked.task),
            model=lane.model,
            priority=lane.priority,
            num_documents=marked.num_open,
        )

    def _sendable(self, query: Select[Any]) -> Select[Any]:
        job = t.job.c
        runs = select(1).where(job.id == _s.job, job.status.in_(OPEN))
        query = query.where(t.is_waiting(), _s.sent_at.is_(None), _s.available_at <= self._now, runs.exists())
        return query if self._only_job is None else query.where(_s.job == self._only_job)

    def _forget_lost(self, lost_before: float) -> None:
        lost = update(t.slice_).where(t.is_waiting(), _s.sent_at <= lost_before)
        if self._only_job is not None:
            lost = lost.where(_s.job == self._only_job)
        self._connection.execute(lost.values(sent_at=None))

    def _read_out(self, holders: frozenset[str] | None) -> Iterator[Row[Any]]:
        columns = (*_LANE, _s.job)
        is_held = _s.state == SliceState.LEASED
        if holders is not None:
            is_held &= _s.lease_owner.in_(sorted(holders))
        for is_out in (is_held, t.is_waiting() & (_s.sent_at > 0)):
            yield from self._connection.execute(
                select(*columns, func.count().label("slices")).where(is_out).group_by(*columns)
            )


def _ranges_behind(lane: Lane | None) -> tuple[ColumnElement[bool], ...]:
    """What comes behind a lane, nearest first.

    One comparison of all three columns would be a range, too, but in it SQLite walks through every
    slice of the lane itself.
    """
    if lane is None:
        return (true(),)
    owner, priority = _s.owner == lane.owner, _s.priority == int(lane.priority)
    return (
        owner & priority & (_s.model > lane.model),
        owner & (_s.priority > int(lane.priority)),
        _s.owner > lane.owner,
    )


def _row_id(connection: Connection, job_id: str) -> int:
    return connection.scalar(select(t.job.c.id).where(t.job.c.public_id == job_id)) or 0  # 0: of no job


def _lane(row: Row[Any]) -> Lane:
    return Lane(owner=row.owner, priority=Priority(row.priority), model=row.model)
