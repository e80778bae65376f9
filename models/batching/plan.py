"""Which pieces are computed together, and in which order. Pure policy, no torch.

Pieces of like length share a batch, so that little of it is padding; the longest come
first, so that a batch that is too large for the memory shows early.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

Batch = list["Piece"]

#: A batch that holds this share of the budget keeps a device busy: from there on, a shorter
#: piece costs less in a batch of its own length than as padding here.
_BUSY_SHARE = 1 / 8
ALIKE = 0.85  #: of the longest; what is shorter than this is not of like length


@dataclass(frozen=True, kw_only=True, eq=False)
class Piece:
    """What is computed in one go: a document, or one window or sentence of it."""

    key: Hashable  #: of its document
    index: int  #: among the pieces of its document
    num_tokens: int  #: its length in a batch
    num_rows: int = 1  #: rows it takes in a batch (beams, return sequences)
    num_padding: int = 0  #: of its tokens, those that only bring it to its length
    data: Any = None  #: what the engine needs to compute it


class TokenBudget:
    """How many padded tokens a batch may have; shrinks when memory runs out, and recovers."""

    _RECOVER_AFTER = 100  # batches that went well

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self.tokens = max_tokens
        self._num_good = 0

    def shrink(self, failed_tokens: int) -> None:
        """A batch of this size did not fit."""
        self.tokens = max(1, min(self.tokens, failed_tokens // 2))
        self._num_good = 0

    def note_success(self) -> None:
        """A batch fitted; after many, larger ones are tried again."""
        self._num_good += 1
        if self._num_good >= self._RECOVER_AFTER and self.tokens < self._max_tokens:
            self.tokens = min(self._max_tokens, self.tokens * 2)
            self._num_good = 0


#: Tokens; and the share of a long row's length that is padded for it at most. With steps of four, short texts
#: made batches too small: 180 passes instead of 105.
_SHORTEST_STEP, _STEP_SHARE = 8, 1 / 8


@lru_cache(maxsize=4096)
def stepped_length(num_tokens: int) -> int:
    """The length that a row is padded to where its scores must not depend on the rows beside it.

    It follows from the row alone; rows of equal ones share a batch. Lengths go in steps, which
    double when the length does.
    """
    step = max(_SHORTEST_STEP, int(2 ** ((num_tokens - 1).bit_length() - 1) * _STEP_SHARE))
    return -(-num_tokens // step) * step


def padded_tokens(batch: Iterable[Piece]) -> int:
    """Tokens of a batch when every row is as long as the longest."""
    pieces = list(batch)
    return max(piece.num_tokens for piece in pieces) * sum(piece.num_rows for piece in pieces)


def into_batches(
    pieces: Iterable[Piece],
    *,
    max_tokens: int,
    batch_key: Callable[[Piece], Hashable],
    alike: float = ALIKE,
) -> list[Batch]:
    """Cuts pieces into batches of like length, none above the budget unless a piece alone is.

    Only pieces of equal `batch_key` share a batch. `alike` is the share of the longest that the
    shortest of a batch has, once the batch is large enough to keep a device busy.
    """
    by_key: dict[Hashable, Batch] = {}
    for piece in pieces:
        by_key.setdefault(batch_key(piece), []).append(piece)
    batches: list[Batch] = []
    for group in by_key.values():
        group.sort(key=lambda piece: -piece.num_tokens)
        batches += _cut(group, max_tokens, alike)
    return batches


def _cut(descending: Batch, max_tokens: int, alike: float) -> list[Batch]:
    batches: list[Batch] = []
    num_rows, longest = 0, 0
    for piece in descending:
        is_full = (num_rows + piece.num_rows) * longest > max_tokens
        is_busy = num_rows * longest >= max_tokens * _BUSY_SHARE
        if not batches or is_full or (is_busy and piece.num_tokens < longest * alike):
            batches.append([])
            num_rows, longest = 0, piece.num_tokens
        batches[-1].append(piece)
        num_rows += piece.num_rows
    return batches


class Plan:
    """Batches to compute, the best priority first, otherwise in the order they were planned.

    Whom a more urgent batch overtook comes next, so that a stream of such batches stops nobody.
    """

    def __init__(self) -> None:
        self._levels: dict[float, deque[Batch]] = {}  # the one that waits longest is the first
        self._has_overtaken = False

    @property
    def best_priority(self) -> float | None:
        """The priority of the next batch; None when there is none."""
        return min(self._levels) if self._levels else None

    def add(self, priority: float, batches: Iterable[Batch]) -> None:
        """Plans batches behind those of their priority."""
        batches = list(batches)
        if batches:
            self._levels.setdefault(priority, deque()).extend(batches)

    def put_first(self, priority: float, batches: Iterable[Batch]) -> None:
        """Plans batches before those of their priority: the parts of one that failed."""
        self._levels.setdefault(priority, deque()).extendleft(reversed(list(batches)))

    def pop(self) -> tuple[float, Batch]:
        """The next batch and its priority."""
        oldest = next(iter(self._levels))
        priority = oldest if self._has_overtaken else min(self._levels)
        self._has_overtaken = priority != oldest
        batch = self._levels[priority].popleft()
        if not self._levels[priority]:
            del self._levels[priority]
        return priority, batch

    def clear(self) -> None:
        """Drops everything."""
        self._levels.clear()
