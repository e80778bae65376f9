"""Ctrl-C and SIGTERM, counted: the first asks to stop, the second is in a hurry."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Any, Self


class StopRequests:
    """While entered, SIGINT and SIGTERM only count; nothing is interrupted half way."""

    def __init__(self) -> None:
        self._count = 0
        self._before: dict[signal.Signals, Any] = {}

    def should_stop(self) -> bool:
        """Whether anybody asked."""
        return self._count > 0

    def in_a_hurry(self) -> bool:
        """Whether they asked twice."""
        return self._count > 1

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self._count += 1
