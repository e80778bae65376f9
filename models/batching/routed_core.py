"""A core of two: one for the pieces that a fast way is proven for, one for the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.batching.core import Core, Result
from models.batching.plan import Piece


@dataclass(eq=False)
class _Lane:
    core: Core
    inside: Counter[Hashable] = field(default_factory=Counter)  #: pieces, by document


class RoutedCore:
    """Both are stepped in turn, so that neither kind of document waits for the other to end."""

    def __init__(self, fast: Core, slow: Core, *, is_fast: Callable[[Piece], bool]) -> None:
        self._fast, self._slow = _Lane(fast), _Lane(slow)
        self._lanes = [self._fast, self._slow]  # whose turn it is stands first
        self._is_fast = is_fast

    @property
    def facts(self) -> Mapping[str, Any]:
        """Of the fast one, which says what is left to the other."""
        return self._fast.core.facts

    @property
    def counters(self) -> dict[str, int]:
        """Of both together; what only one counts as it says."""
        return dict(Counter(self._slow.core.counters) + Counter(self._fast.core.counters))

    @property
    def max_window(self) -> int:
        """As the fast one takes documents in."""
        return self._fast.core.max_window

    def wants(self, priority: float) -> bool:
        """Whether either has room; a long line before the slow one lets in more urgent ones alone."""
        if self._slow.core.wants(priority):
            return True
        is_full = self._slow.inside.total() >= self._slow.core.max_window
        return not is_full and self._fast.core.wants(priority)

    def add(self, pieces: Sequence[Piece], priority: float) -> None:
        """Queues pieces where they belong."""
        for lane in self._lanes:
            own = [piece for piece in pieces if self._is_fast(piece) is (lane is self._fast)]
            if own:
                lane.inside.update(piece.key for piece in own)
                lane.core.add(own, priority)

    def discard(self, keys: Collection[Hashable]) -> None:
        """Forgets documents."""
        for lane in self._lanes:
            for key in keys:
                lane.inside.pop(key, None)
            lane.core.discard(keys)

    def so_far(self, key: Hashable) -> Sequence[int]:
        """Of whichever has it."""
        return next((lane.core.so_far(key) for lane in self._lanes if key in lane.inside), ())

    def step(self) -> list[Result]:
        """A step of whose turn it is, if it has work, else of the other."""
        lane = next((each for each in self._lanes if each.inside), None)
        if lane is None:
            return []
        self._lanes.sort(key=lambda each: each is lane)  # it is last now
        results = lane.core.step()
        for piece, _ in results:
            lane.inside[piece.key] -= 1
            if lane.inside[piece.key] <= 0:
                del lane.inside[piece.key]
        return results

    def close(self) -> None:
        """Drops everything."""
        for lane in self._lanes:
            lane.inside.clear()
            lane.core.close()
