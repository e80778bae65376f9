"""Calls that are the same and come at the same time go one after the other."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager


class InFlight:
    """A client that heard nothing repeats a call that may still go on; the repeat waits for it here."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[Hashable, int] = defaultdict(int)
        self._calls: dict[Hashable, threading.Lock] = {}

    @contextmanager
    def alone(self, call: Hashable) -> Iterator[None]:
        """Waits until nobody else in this process is at the same call."""
        with self._lock:
            self._waiting[call] += 1
            lock = self._calls.setdefault(call, threading.Lock())
        try:
            with lock:
                yield
        finally:
            with self._lock:
                self._waiting[call] -= 1
                if not self._waiting[call]:
                    del self._waiting[call], self._calls[call]
