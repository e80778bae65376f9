"""The decoding engine as a core of pieces: each has a `Prompt` as its data, and `Decoded` comes out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any, cast

from models.batching.core import Result
from models.batching.plan import Piece
from models.decoding.core import PagedCore


class ContinuousCore:
    """Pieces come and go between steps."""

    def __init__(self, core: PagedCore, facts: Mapping[str, Any]) -> None:
        self.facts = facts
        self._core = core
        self._pieces: defaultdict[Hashable, dict[int, Piece]] = defaultdict(dict)  # by document

    @property
    def counters(self) -> dict[str, int]:
        """Counters of the engine."""
        return self._core.counters

    @property
    def max_window(self) -> int:
        """About what begins in the next steps: who comes later is weighed against newcomers then."""
        return max(8, self._core.scheduler.limits.max_rows // 2)

    def wants(self, priority: float) -> bool:
        """Whether few wait before documents of this priority."""
        scheduler = self._core.scheduler
        waiting = scheduler.best_waiting_priority
        return waiting is None or priority < waiting or scheduler.num_waiting < self.max_window

    def add(self, pieces: Sequence[Piece], priority: float) -> None:
        """Queues prompts."""
        for piece in pieces:
            self._pieces[piece.key][piece.index] = piece
            self._core.add((piece.key, piece.index), piece.data, priority=priority)

    def discard(self, keys: Collection[Hashable]) -> None:
        """Forgets documents."""
        inside = [(key, index) for key in keys for index in self._pieces.pop(key, ())]
        self._core.discard(inside)

    def so_far(self, key: Hashable) -> Sequence[int]:
        """The new tokens of a document's one piece."""
        return self._core.so_far((key, 0))

    def step(self) -> list[Result]:
        """The next token of everything inside."""
        results: list[Result] = []
        for place, result in self._core.step():
            key, index = cast("tuple[Hashable, int]", place)
            results.append((self._pieces[key].pop(index), result))
        return results

    def close(self) -> None:
        """Drops everything."""
        self._pieces.clear()
        self._core.clear()
