"""Making the slices of a retried job ready again, some at a time.

The job's row says `reopening` and from which slice on it is still to be done. Until then
only its successes count, whatever rows are left of other outcomes.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from jobs.records import DocumentStatus, JobStatus, SliceState
from jobs.store import tables as t
from jobs.store.database import Database
from jobs.store.outcomes import lock_job
from jobs.store.stages import Stage

_MOST_SLICES = 100
_MOST_ROWS = 5_000  #: documents looked at in one transaction, but for one slice in any case


def reopen(database: Database, row_id: int, *, until: float) -> bool:
    """Goes on until all is ready (True), or until the time is over, by `time.monotonic`."""
    while not database.write(lambda connection: reopen_block(connection, row_id), gives_way=True):
        if time.monotonic() >= until:
            return False
        database.give_way()
    return True


def reopen_block(connection: Connection, row_id: int) -> bool:
    """Makes the next slices ready; returns whether there is nothing left to do."""
    job = lock_job(connection, row_id)
    if job is None or job.status != Stage.REOPENING:
        return True
    s = t.slice_.c
    following = connection.execute(
        select(s.number, s.first_seq, s.last_seq)
        .where(s.job == row_id, s.number >= job.reopen_from)
        .order_by(s.number)
        .limit(_MOST_SLICES)
    ).all()
    block = _that_fit(following)
    if block:
        _make_ready(connection, row_id, block)
    is_done = len(block) == len(following) < _MOST_SLICES
    c = t.job.c
    step: dict[str, Any] = {"reopen_from": block[-1].number + 1} if block else {}
    if is_done:
        step = {"reopen_from": None, "status": JobStatus.QUEUED, "version": c.version + 1}
    connection.execute(update(t.job).where(c.id == row_id).values(**step))
    return is_done


def _that_fit(slices: Sequence[Any]) -> Sequence[Any]:
    num_rows = 0
    for place, each in enumerate(slices):
        num_rows += each.last_seq - each.first_seq + 1
        if place and num_rows > _MOST_ROWS:
            return slices[:place]
    return slices


def _make_ready(connection: Connection, row_id: int, block: Sequence[Any]) -> None:
    d, r, s = t.document.c, t.result.c, t.slice_.c
    first, last = min(each.first_seq for each in block), max(each.last_seq for each in block)
    of_block = (d.job == row_id) & d.seq.between(first, last)
    of_block &= d.slice.between(block[0].number, block[-1].number)
    connection.execute(
        delete(t.result).where(
            r.job == row_id,
            r.seq.between(first, last),
            r.status != DocumentStatus.SUCCEEDED,
            select(d.seq).where(of_block, d.seq == r.seq).exists(),
        )
    )
    connection.execute(update(t.document).where(of_block, d.crash_count != 0).values(crash_count=0))
    counts = connection.execute(
        select(d.slice, func.count())
        .select_from(t.document.outerjoin(t.result, (r.job == d.job) & (r.seq == d.seq)))
        .where(of_block, r.seq.is_(None))
        .group_by(d.slice)
    ).all()
    for number, num_open in counts:
        connection.execute(
            update(t.slice_)
            .where(s.job == row_id, s.number == number)
            .values(
                state=SliceState.WAITING, num_open=num_open, crash_count=0, isolate=False, suspect_seq=None,
                available_at=0.0, sent_at=None, lease_owner=None, lease_until=None,
            )
        )  # fmt: skip
