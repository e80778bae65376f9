"""Models that could not be loaded are tried again now and then: somebody may have repaired them."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future

from models.loop.device_loop import DeviceLoop

#: A little longer than the pool refuses a model without trying it (`models/loop/pool.py`).
_REST_SECONDS = 31.0
#: Nothing else is computed while a model loads: rest so many times as long as a try takes.
_REST_FACTOR = 30.0


class LoadRetries:
    """Asks the loop for the models that failed; one try of a model at a time."""

    def __init__(self, loop: DeviceLoop, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._loop = loop
        self._clock = clock
        self._due_seconds: dict[str, float] = {}
        self._running: dict[str, tuple[float, Future[None]]] = {}

    def look(self) -> None:
        """Begins what is due; does not wait for it."""
        now = self._clock()
        for name, (began, tried) in list(self._running.items()):
            if tried.done():
                del self._running[name]
                self._due_seconds[name] = now + max(_REST_SECONDS, _REST_FACTOR * (now - began))
        failing = self._loop.failures
        for name in failing:
            if name not in self._running and now >= self._due_seconds.setdefault(name, now + _REST_SECONDS):
                self._running[name] = (now, self._loop.warm(name))
        for name in self._due_seconds.keys() - failing.keys() - self._running.keys():
            del self._due_seconds[name]
