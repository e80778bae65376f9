"""How long and how fast to train: warm-up, a constant rate, and a decay that may begin at any time."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Plan:
    """By steps alone: a slow start of the machine must not eat the warm-up."""

    steps: int = 40_000  #: at most, with the decay
    warmup_steps: int = 400
    decay_share: float = (
        0.2  #: of all steps (Hägele et al. 2024, "Scaling laws and compute-optimal training")
    )
    decay_steps: int | None = None  #: instead of the share
    learning_rate: float = 1e-3  #: of embeddings, norms and biases, by AdamW
    matrix_learning_rate: float = 1e-3  #: of the other matrices, by Muon
    max_tokens: int = 2048  #: of a batch and a side, with padding: so that a core's cache holds it
    batches_a_step: int = 2  #: whose gradients are added up
    averaged_steps: int = 300  #: about so many of the last are averaged
    seed: int = 1

    def decay_begins(self, step: int, asked: bool) -> bool:
        """Whether the decay begins before this step: it is time, or somebody asks for the end."""
        return asked or step + self.decay_steps_from(step) >= self.steps

    def decay_steps_from(self, step: int) -> int:
        """How long a decay takes that begins before this step."""
        if self.decay_steps is not None:
            return self.decay_steps
        return math.ceil(step * self.decay_share / (1 - self.decay_share))

    def is_over(self, step: int, decay_from: int | None) -> bool:
        """Whether no step is left."""
        return decay_from is not None and step >= decay_from + self.decay_steps_from(decay_from)

    def factor_at(self, step: int, decay_from: int | None) -> float:
        """Of the rates: linear warm-up, 1, and from `decay_from` on one less the root of what is done of the decay."""
        warm = min(1.0, (step + 1) / self.warmup_steps)
        if decay_from is None:
            return warm
        done = (step - decay_from) / max(1, self.decay_steps_from(decay_from))
        return warm * (1 - math.sqrt(min(1.0, done)))
