"""How many rows go in one transaction: so many that it takes about a twentieth of a second."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

_GOAL_SECONDS = 0.05
_FIRST_ROWS = 250
_MOST_ROWS = 5_000
#: Half the rows take half the time, unless it is not the rows that take it.
_NO_FASTER = 0.75


class Pace:
    """Learns from each block: rows may hold a word each, or a megabyte."""

    def __init__(self) -> None:
        self.rows = _FIRST_ROWS
        self._before = (0, 0.0)  # rows and seconds of the block before

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Around a block: the next one has more rows, or fewer."""
        begun = time.monotonic()
        yield
        took_seconds = time.monotonic() - begun
        (rows_before, seconds_before), self._before = self._before, (self.rows, took_seconds)
        # On a busy machine each transaction waits, however small it is: smaller ones would never end.
        is_no_faster = self.rows < rows_before and took_seconds > _NO_FASTER * seconds_before
        if took_seconds > _GOAL_SECONDS * 2:
            self.rows = min(_MOST_ROWS, self.rows * 2) if is_no_faster else max(1, self.rows // 2)
        elif took_seconds < _GOAL_SECONDS:
            self.rows = min(_MOST_ROWS, self.rows * 2)
