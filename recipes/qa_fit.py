"""Fitting a span head on windows of token ids, on any device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from recipes.batching import BucketedBatches
from recipes.ragged import Ragged
from recipes.training import Batch, Schedule, train

_WARMUP_STEPS = 100


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Questions with a window of their context each, and the answer's first and last token (0, 0: not here)."""

    texts: Ragged
    spans: Tensor  #: (windows, 2)
    separator_id: int


def fit(
    model: nn.Module,
    windows: Windows,
    *,
    seed: int,
    seconds: float | None,
    epochs: float,
    batch_tokens: int,
    checkpoint: Path | None = None,
) -> int:
    """Trains in place.

    Returns:
        How many steps it took.
    """
    batches = BucketedBatches(windows.texts.lengths, max_tokens=batch_tokens, seed=seed)

    def batch_at(step: int) -> Batch:
        chosen = batches.at(step)
        ids, mask = windows.texts.padded(chosen)
        spans = windows.spans[chosen]
        return {
            "input_ids": ids, "attention_mask": mask,
            "token_type_ids": types_of(ids, mask, windows.separator_id),
            "start_positions": spans[:, 0], "end_positions": spans[:, 1],
        }  # fmt: skip

    steps = int(epochs * batches.steps_per_epoch)
    schedule = Schedule(
        steps=steps,
        learning_rate=1.5e-4,
        warmup_steps=min(_WARMUP_STEPS, steps // 10),
        seed=seed,
        seconds=seconds,
    )
    return train(model, batch_at, _loss_of, schedule, checkpoint=checkpoint)


def types_of(ids: Tensor, mask: Tensor, separator_id: int) -> Tensor:
    """0 for the question with its separator, 1 for the window after it."""
    is_separator = (ids == separator_id).long()
    return (((is_separator.cumsum(-1) - is_separator) > 0) & mask.bool()).long()


def _loss_of(network: nn.Module, batch: Batch) -> Tensor:
    loss: Tensor = network(**batch).loss
    return loss
