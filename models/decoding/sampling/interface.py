"""What a step asks of a sampler."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from torch import Tensor

from models.decoding.scheduling.layout import Shape
from models.decoding.tensors.state import BatchState

#: Of samplers that draw by `noise`: with the same seed transformers' own generator draws other tokens.
PHILOX = {"random_numbers": "philox by seed and position"}


class Sampler(Protocol):
    """A way of choosing tokens."""

    @property
    def provenance(self) -> Mapping[str, str]:
        """What a sampled result must say to be computed again, beside its seed."""
        ...

    def choose(self, state: BatchState, shape: Shape, scores: Tensor) -> None:
        """Writes the next token of every row to `state.chosen`, and what it changes into its row.

        Args:
            state: whose rows are chosen for.
            shape: of the step.
            scores: (rows, `layout.padded` of the vocabulary), in any floating type; may be overwritten.
        """
        ...
