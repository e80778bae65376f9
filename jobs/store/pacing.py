"""How many rows go in one transaction: so many that it takes about a twentieth of a second."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

_GOAL_SECONDS = 0.05
_FIRST_ROWS = 250
_MOST_ROWS = 5_000


class Pace:
    """Learns from each block: rows may hold a word each, or a megabyte."""

    def __init__(self) -> None:
        self.rows = _FIRST_ROWS

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Around a block: the next one has more rows, or fewer."""
        begun = time.monotonic()
        yield
        took_seconds = time.monotonic() - begun
        if took_seconds > _GOAL_SECONDS * 2:
            self.rows = max(1, self.rows // 2)
        elif took_seconds < _GOAL_SECONDS:
            self.rows = min(_MOST_ROWS, self.rows * 2)
