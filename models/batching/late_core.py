"""A core that is made when its first piece comes: for what few documents ask for."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import Any

from models.batching.core import Core, Result
from models.batching.plan import Piece

_WINDOW = 8  #: pieces that are taken in before the core can say how many it wants


class LateCore:
    """Stands for a core that nobody has needed yet."""

    def __init__(self, make: Callable[[], Core], facts: Mapping[str, Any]) -> None:
        self.facts = facts
        self._make = make
        self._core: Core | None = None

    @property
    def counters(self) -> Mapping[str, int]:
        """Of the core."""
        return self._core.counters if self._core is not None else {}

    @property
    def max_window(self) -> int:
        """Of the core."""
        return self._core.max_window if self._core is not None else _WINDOW

    def wants(self, priority: float) -> bool:
        """Whether the core does; one that is not there is idle."""
        return self._core is None or self._core.wants(priority)

    def add(self, pieces: Sequence[Piece], priority: float) -> None:
        """Queues pieces, and makes the core for the first of them."""
        if self._core is None:
            self._core = self._make()
        self._core.add(pieces, priority)

    def discard(self, keys: Collection[Hashable]) -> None:
        """Forgets documents."""
        if self._core is not None:
            self._core.discard(keys)

    def so_far(self, key: Hashable) -> Sequence[int]:
        """Of the core."""
        return self._core.so_far(key) if self._core is not None else ()

    def step(self) -> list[Result]:
        """A step of the core."""
        return self._core.step() if self._core is not None else []

    def close(self) -> None:
        """Drops everything."""
        if self._core is not None:
            self._core.close()
