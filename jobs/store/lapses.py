"""Leases that ran out: whose worker crashed, and whose worker was only slow.

A crash is counted against what was on the device, a delay against nothing. A worker that gave
a sign of life after its lease had run out did not crash. One that has been silent since may
have been locked out of the ledger with everybody else: it is given time to be heard again.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select, update

from jobs.isolation import WHOLE_SLICE, is_guilty, is_hopeless
from jobs.records import DocumentStatus, SliceState
from jobs.store import tables as t
from jobs.store.database import Database
from jobs.store.outcomes import close_if_settled, fill_open, lock_job
from jobs.store.stages import OPEN

_MOST_LEASES = 500  # mended in one sweep; the next goes on
#: A ledger that lets a writer wait so long keeps heartbeats out too.
_SLOW_SECONDS = 1.0
#: Sweeps come every few seconds: after a longer pause this process, or the host, was asleep.
_ASLEEP_SECONDS = 20.0
#: Workers give signs of life every three seconds, and beat again at once after a failed beat.
_PATIENCE_SECONDS = 4.0
#: Its next sign is late: only then a worker counts as silent.
_SILENT_SECONDS = 5.0


def _seconds_since_boot() -> float:
    """Runs on while the host sleeps, which `time.monotonic` does not on Linux."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class LedgerWatch:
    """Since when this process finds the ledger open to writers."""

    def __init__(self, database: Database, clock: Callable[[], float] = _seconds_since_boot) -> None:
        self._database = database
        self._clock = clock
        self._looked_at: float | None = None
        self._open_since = -math.inf
        self._has_failed = False

    def look(self) -> None:
        """Writes nothing, but waits as any writer would; call it before each sweep.

        Raises:
            StoreUnavailable: the ledger is open to nobody.
        """
        begun, had_failed, self._has_failed = self._clock(), self._has_failed, True
        self._database.write(lambda _: None)
        now, self._has_failed = self._clock(), False
        has_waited = now - begun > _SLOW_SECONDS
        has_slept = self._looked_at is not None and begun - self._looked_at > _ASLEEP_SECONDS
        if has_waited or has_slept or had_failed:
            self._open_since = now
        self._looked_at = now

    @property
    def is_open_long_enough(self) -> bool:
        """Whether a worker that lives has had the time to be heard."""
        return self._clock() - self._open_since >= _PATIENCE_SECONDS


@dataclass
class Mended:
    """What was found."""

    released: int = 0
    quarantined: int = 0
    closed: int = 0


def mend(database: Database, *, max_crashes: int, may_judge: bool) -> Mended:
    """Reopens the slices whose leases have run out.

    Args:
        database: of the ledger.
        max_crashes: of one document, after which it is quarantined.
        may_judge: whether silence tells that a worker is dead.
    """
    mended = Mended()
    mender = _Mender(database, max_crashes, may_judge, mended)
    for row_id, number in database.read(lambda connection: _lapsed(database, connection)):
        database.write(lambda connection, j=row_id, n=number: mender.mend(connection, j, n))  # type: ignore[misc]
    return mended


def _lapsed(database: Database, connection: Connection) -> list[tuple[int, int]]:
    c = t.slice_.c
    rows = connection.execute(
        select(c.job, c.number)
        .where(c.state == SliceState.LEASED, c.lease_until < database.now(connection))
        .order_by(c.suspect_seq.is_not(None))  # so that who stood in line is let go first
        .limit(_MOST_LEASES)
    )
    return [(row.job, row.number) for row in rows]


class _Mender:
    """Mends one slice, in one transaction."""

    def __init__(self, database: Database, max_crashes: int, may_judge: bool, mended: Mended) -> None:
        self._database = database
        self._max_crashes = max_crashes
        self._may_judge = may_judge
        self._mended = mended

    def mend(self, connection: Connection, row_id: int, number: int) -> None:
        """Gives the slice back, counting a crash if there was one."""
        job = lock_job(connection, row_id)
        now = self._database.now(connection)
        if job is None or job.status not in OPEN:
            return
        row = _still_lapsed(connection, row_id, number, now)
        if row is None:
            return  # another sweep was here, or a heartbeat came through after all
        seen_at = connection.scalar(select(t.worker.c.seen_at).where(t.worker.c.worker_id == row.lease_owner))
        if seen_at is not None and seen_at > row.lease_until:
            self._reopen(connection, row, row.num_open, {})
        elif seen_at is None or (self._may_judge and now - seen_at > _SILENT_SECONDS):
            self._mend_crashed(connection, row, now)

    def _mend_crashed(self, connection: Connection, row: Row[Any], now: float) -> None:
        """Lays the crash at the door of what had the device alone, or else of all that were on it."""
        is_named = row.suspect_seq is not None
        if _holds_other(connection, row, named=not is_named):
            if not is_named:  # it stood in line: what the other computed ended the process
                self._reopen(connection, row, row.num_open, {})
            return  # who is named is mended last, and says for the others what happened
        num_open = row.num_open - self._blame(connection, row)
        by_itself = is_named and row.suspect_seq != WHOLE_SLICE
        crash_count = row.crash_count + (0 if by_itself else 1)
        self._reopen(connection, row, num_open, {"crash_count": crash_count, "isolate": True})
        if not num_open and close_if_settled(connection, row.job, now):
            self._mended.closed += 1

    def _reopen(self, connection: Connection, row: Row[Any], num_open: int, blame: dict[str, Any]) -> None:
        c = t.slice_.c
        self._mended.released += 1
        connection.execute(
            update(t.slice_)
            .where(c.job == row.job, c.number == row.number)
            .values(
                state=SliceState.WAITING if num_open else SliceState.DONE, num_open=num_open,
                suspect_seq=None, lease_owner=None, lease_until=None, sent_at=None, **blame,
            )
        )  # fmt: skip

    def _blame(self, connection: Connection, row: Row[Any]) -> int:
        """Returns how many documents the crash settled."""
        if row.suspect_seq is None:
            return self._give_up(connection, row)
        if row.suspect_seq == WHOLE_SLICE:
            return 0
        d = t.document.c
        crashes = connection.scalar(
            update(t.document)
            .where(d.job == row.job, d.seq == row.suspect_seq)
            .values(crash_count=d.crash_count + 1)
            .returning(d.crash_count)
        )
        if not is_guilty(
            crashes_alone=int(crashes or 0), crashes_in_company=row.crash_count, max_crashes=self._max_crashes
        ):
            return 0
        quarantined = fill_open(
            connection, row.job, DocumentStatus.FAILED, code="quarantined",
            message=f"the worker process died {self._max_crashes} times on this document",
            slice_number=row.number, seq=row.suspect_seq,
        )  # fmt: skip
        self._mended.quarantined += quarantined
        return quarantined

    def _give_up(self, connection: Connection, row: Row[Any]) -> int:
        if not is_hopeless(crash_count=row.crash_count + 1, max_crashes=self._max_crashes):
            return 0
        return fill_open(
            connection, row.job, DocumentStatus.FAILED, code="worker_lost",
            message=f"the worker was lost {row.crash_count + 1} times before this document could run",
            slice_number=row.number,
        )  # fmt: skip


def _holds_other(connection: Connection, row: Row[Any], *, named: bool) -> bool:
    """Whether the worker of this slice has another that has the device alone, or one that has not."""
    c = t.slice_.c
    is_named = c.suspect_seq.is_not(None)
    found = (
        select(c.number)
        .select_from(t.slice_.join(t.job, t.job.c.id == c.job))
        .where(
            c.state == SliceState.LEASED, c.lease_owner == row.lease_owner,
            is_named if named else ~is_named, t.job.c.status.in_(OPEN),
        )
        .limit(1)
    )  # fmt: skip
    return connection.execute(found).first() is not None


def _still_lapsed(connection: Connection, row_id: int, number: int, now: float) -> Row[Any] | None:
    c = t.slice_.c
    return connection.execute(
        select(t.slice_)
        .where(c.job == row_id, c.number == number, c.state == SliceState.LEASED, c.lease_until < now)
        .with_for_update()
    ).first()
