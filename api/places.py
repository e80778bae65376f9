"""How many of a kind may be under way at a time, in all and for one owner."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from jobs.errors import Overloaded

_RETRY_SECONDS = 5


class Places:
    """Places that are taken and left again; who finds none is told to come back, and never waits.

    Args:
        noun: What takes a place, in the plural.
        total: Places in all.
        per_owner: Of these, what one owner may take.
    """

    def __init__(self, noun: str, *, total: int, per_owner: int) -> None:
        self._noun = noun
        self._total = total
        self._per_owner = min(per_owner, total)
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    @contextmanager
    def taken(self, owner: str) -> Iterator[None]:
        """Holds a place.

        Raises:
            Overloaded: none is free.
        """
        self._take(owner)
        try:
            yield
        finally:
            self._leave(owner)

    def _take(self, owner: str) -> None:
        with self._lock:
            own, total = self._taken[owner], self._taken.total()
            if own < self._per_owner and total < self._total:
                self._taken[owner] += 1
                return
        whose = "of yours" if own >= self._per_owner else "in all"
        raise Overloaded(
            f"{own if own >= self._per_owner else total} {self._noun} {whose} are under way already; "
            "end one, or try again soon",
            retry_after_seconds=_RETRY_SECONDS,
        )

    def _leave(self, owner: str) -> None:
        with self._lock:
            self._taken[owner] -= 1
            if not self._taken[owner]:
                del self._taken[owner]
