"""SQLite's one write lock: whoever of a process wants it stands in line, and the first looks for it.

SQLite lets whoever looks at the right moment write, and its own waiting sleeps up to 100 ms between
two looks: beside busy writers, one that only waits is passed over again and again. Here the
threads of a process write in the order in which they came, and only one of them looks, often.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

_LOOK_SECONDS = 0.002
#: Longer than two looks are apart: another process that waits gets its turn.
GAP_SECONDS = 0.005
#: So many of a line write one right after the other; then other processes may.
_IN_A_ROW = 3
#: A block of a long work lets so many others pass that came later.
_MOST_PASSES = 4


class _Place:
    """One thread's in the line."""

    def __init__(self, *, gives_way: bool) -> None:
        self.is_due = threading.Event()
        self.gives_way = gives_way
        self.num_passed = 0
        self.leaves_gap = False


class WriteTurns:
    """The line of one process. Thread-safe; no thread may stand in it twice."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._writer: _Place | None = None
        self._line: deque[_Place] = deque()
        self._num_in_a_row = 0

    @contextmanager
    def turn(self, within_seconds: float, *, gives_way: bool = False) -> Iterator[None]:
        """What is done inside is done by no other thread.

        Args:
            within_seconds: how long to wait for it.
            gives_way: it is a block of a long work, which short ones may pass.

        Raises:
            sqlite3.OperationalError: the turn did not come in time; as SQLite says it.
        """
        place = self._enter(gives_way=gives_way)
        try:
            if not place.is_due.wait(within_seconds):
                raise sqlite3.OperationalError("database is locked")
            if place.leaves_gap:
                time.sleep(GAP_SECONDS)
            yield
        finally:
            self._leave(place)

    @property
    def num_waiting(self) -> int:
        """Threads that stand in line behind the one that writes."""
        return len(self._line)

    def _enter(self, *, gives_way: bool) -> _Place:
        place = _Place(gives_way=gives_way)
        with self._lock:
            if self._writer is None:
                self._let(place)
                self._num_in_a_row = 1
            else:
                self._line.append(place)
        return place

    def _leave(self, place: _Place) -> None:
        with self._lock:
            if self._writer is not place:  # it gave up
                self._line.remove(place)
                return
            self._writer = None
            if self._line:
                following = self._take_next()
                following.leaves_gap = self._num_in_a_row == _IN_A_ROW
                self._num_in_a_row = self._num_in_a_row % _IN_A_ROW + 1
                self._let(following)

    def _take_next(self) -> _Place:
        oldest = self._line[0]
        chosen = next((place for place in self._line if not place.gives_way), oldest)
        if chosen is not oldest:
            if oldest.num_passed < _MOST_PASSES:
                oldest.num_passed += 1
            else:
                chosen = oldest
        self._line.remove(chosen)
        return chosen

    def _let(self, place: _Place) -> None:
        self._writer = place
        place.is_due.set()


def begin_to_write(driver: sqlite3.Connection, within_seconds: float, *, busy_milliseconds: int) -> None:
    """Begins a transaction that holds the write lock, looking for it often.

    Args:
        driver: SQLite's own connection.
        within_seconds: how long to look.
        busy_milliseconds: the connection's own patience, which it has again afterwards.

    Raises:
        sqlite3.OperationalError: others held it all the while.
    """
    give_up_at = time.monotonic() + within_seconds
    driver.execute("PRAGMA busy_timeout=0")
    try:
        while not _has_begun(driver, is_last_try=time.monotonic() >= give_up_at):
            time.sleep(_LOOK_SECONDS)
    finally:
        driver.execute(f"PRAGMA busy_timeout={busy_milliseconds}")


def _has_begun(driver: sqlite3.Connection, *, is_last_try: bool) -> bool:
    try:
        driver.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if is_last_try or error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
            raise
        return False
    return True
