"""A device that takes batches in and computes them when a test says so, as a GPU does in its own time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from models.batching.begun import Begun
from models.batching.plan import Piece


class LateDevice:
    """Its `begin` is for a `BatchCore`; a result is what the piece's data is turned into."""

    def __init__(self, compute: Callable[[Any], Any] = lambda data: data) -> None:
        self.compute = compute
        self.begun: list[LateBatch] = []
        #: Called before the host waits for a batch; a batch is done then.
        self.on_wait: Callable[[LateBatch], None] = lambda batch: None

    @property
    def num_waiting(self) -> int:
        """Batches that nobody has read."""
        return sum(not batch.was_read for batch in self.begun)

    def begin(self, pieces: Sequence[Piece]) -> Begun:
        batch = LateBatch(self, list(pieces))
        self.begun.append(batch)
        return batch


class LateBatch:
    """Implements `Begun`."""

    seconds = 0.001

    def __init__(self, device: LateDevice, pieces: list[Piece]) -> None:
        self._device = device
        self.pieces = pieces
        self.keys = [piece.key for piece in pieces]
        self.is_done = False
        self.was_read = False
        self.error: Exception | None = None

    def results(self) -> list[Any]:
        assert not self.was_read
        if not self.is_done:
            self._device.on_wait(self)
        self.is_done = self.was_read = True
        if self.error is not None:
            raise self.error
        return [self._device.compute(piece.data) for piece in self.pieces]
