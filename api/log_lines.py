"""Log lines are bounded: no client, however it behaves, fills a disk with what is said of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

_MOST_A_MINUTE = 30
_MINUTE_SECONDS = 60.0


class Throttle(logging.Filter):
    """Lets so many lines of one place in the code pass each minute; the next one says how many did not."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._minutes: dict[tuple[str, int], _Minute] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is written."""
        now = self._clock()
        place = (record.pathname, record.lineno)
        minute = self._minutes.get(place)
        if minute is None or now - minute.began_at >= _MINUTE_SECONDS:
            if minute is not None and minute.num_lines > _MOST_A_MINUTE:
                record.msg = f"{record.msg} (and {minute.num_lines - _MOST_A_MINUTE} such lines before it)"
            minute = self._minutes[place] = _Minute(now)
        minute.num_lines += 1
        return minute.num_lines <= _MOST_A_MINUTE


class _Minute:
    def __init__(self, began_at: float) -> None:
        self.began_at = began_at
        self.num_lines = 0
