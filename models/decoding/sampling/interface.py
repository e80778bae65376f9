"""What a step asks of a sampler."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from models.decoding.layout import Shape
from models.decoding.state import BatchState


class Sampler(Protocol):
    """A way of choosing tokens."""

    def choose(self, state: BatchState, shape: Shape, scores: Tensor) -> None:
        """Writes the next token of every row to `state.chosen`, and what it changes into its row.

        Args:
            state: whose rows are chosen for.
            shape: of the step.
            scores: (rows, `layout.padded` of the vocabulary), in any floating type; may be overwritten.
        """
        ...
