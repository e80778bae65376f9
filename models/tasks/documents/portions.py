"""A long document goes into a core in portions, so that others get their turns in between. No torch.

A document may have thousands of pieces (windows, sentences), and a core computes what it has in its
own order. Of each document it so has no more at a time than a few batches hold.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from models.batching.plan import Piece


@dataclass
class _Rest:
    """What of a document is not in the core yet, and how many pieces of it are."""

    pieces: deque[Piece]
    num_inside: int


class Portions:
    """The rest of each document that is too long for one portion."""

    def __init__(self, max_tokens: int) -> None:
        """Sets up; `max_tokens` is what a portion has at most, unless one piece alone has more."""
        self._max_tokens = max_tokens
        self._rests: dict[Hashable, _Rest] = {}
        self._due: list[Hashable] = []

    @property
    def are_due(self) -> bool:
        """Whether a document whose portion is computed waits for its next."""
        return bool(self._due)

    def first(self, pieces: Sequence[Piece]) -> list[Piece]:
        """The first portion of a document; the rest is kept."""
        if len(pieces) == 1:
            return [*pieces]
        waiting = deque(pieces)
        portion = self._cut(waiting)
        if waiting:
            self._rests[portion[0].key] = _Rest(waiting, len(portion))
        return portion

    def note_done(self, piece: Piece) -> None:
        """A piece is computed."""
        rest = self._rests.get(piece.key)
        if rest is not None:
            rest.num_inside -= 1
            if not rest.num_inside:
                self._due.append(piece.key)

    def next_ones(self) -> list[list[Piece]]:
        """The next portion of each document that waits for one."""
        portions = []
        due, self._due = self._due, []
        for key in due:
            rest = self._rests[key]
            portion = self._cut(rest.pieces)
            rest.num_inside = len(portion)
            if not rest.pieces:
                del self._rests[key]
            portions.append(portion)
        return portions

    def forget(self, key: Hashable) -> None:
        """Nothing more of the document is wanted."""
        if self._rests.pop(key, None) is not None and key in self._due:
            self._due.remove(key)

    def clear(self) -> None:
        """Drops everything."""
        self._rests.clear()
        self._due.clear()

    def _cut(self, waiting: deque[Piece]) -> list[Piece]:
        portion = [waiting.popleft()]
        num_tokens = _tokens(portion[0])
        while waiting and num_tokens + _tokens(waiting[0]) <= self._max_tokens:
            portion.append(waiting.popleft())
            num_tokens += _tokens(portion[-1])
        return portion


def _tokens(piece: Piece) -> int:
    return piece.num_tokens * piece.num_rows
