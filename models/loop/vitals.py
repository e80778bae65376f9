"""What the device loop is at and what it knows of its models, for the threads that watch it.

The loop's thread replaces each value as a whole; any thread reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from models.errors import CannotLoad
from models.loop.hang import Activity
from models.loop.pool import WarmPool

_FACTS_SECONDS = 1.0


class Vitals:
    """Signs of the loop's life."""

    def __init__(self, pool: WarmPool, clock: Callable[[], float]) -> None:
        self._pool = pool
        self._clock = clock
        self._turned_at_seconds = clock()
        self._facts_due_seconds = clock()
        #: what the loop's thread is at
        self.activity = Activity("idle", "", clock())
        #: what each warm model says of itself
        self.facts: Mapping[str, Mapping[str, Any]] = {}
        #: why those models could not be loaded whose last try failed
        self.failures: Mapping[str, CannotLoad] = {}

    @property
    def age_seconds(self) -> float:
        """Time since the last turn began; 0 while a model loads, which may take long."""
        return 0.0 if self.activity.kind == "load" else self._clock() - self._turned_at_seconds

    def note_turn(self) -> None:
        """The loop came round."""
        self._turned_at_seconds = self._clock()

    @contextmanager
    def busy_with(self, kind: str, model: str) -> Iterator[None]:
        """Says what is done inside."""
        self.activity = Activity(kind, model, self._clock())
        try:
            yield
        finally:
            self.activity = Activity("idle", "", self._clock())

    def publish(self) -> None:
        """Tells what the models say now and then."""
        if self._clock() >= self._facts_due_seconds:
            self.publish_now()

    def publish_now(self) -> None:
        """Tells it before anybody hears that a load is over: whoever waits for it reads them next."""
        self.facts = self._pool.describe()
        self.failures = self._pool.failures
        self._facts_due_seconds = self._clock() + _FACTS_SECONDS
