"""Fitting a text classifier to soft targets on any device, and making its score a probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recipes.batching import BucketedBatches
from recipes.ragged import Ragged
from recipes.training import Batch, Schedule, train

MAX_TOKENS = 512
_EVALUATION_TOKENS = 32_768
_GRID = tuple(0.3 + 0.02 * number for number in range(200))
_NUM_BINS = 15


@dataclass(frozen=True, kw_only=True)
class Examples:
    """Texts as token ids, and of each the share of readers for every label: (rows, labels)."""

    texts: Ragged
    targets: Tensor


def examples_of(tokenizer: Any, texts: Sequence[str], targets: Tensor) -> Examples:
    """Texts, cut at 512 tokens, with their targets, on the CPU."""
    ids = tokenizer(list(texts), truncation=True, max_length=MAX_TOKENS)["input_ids"]
    return Examples(texts=Ragged.of(ids, torch.device("cpu")), targets=targets)


@dataclass(frozen=True, kw_only=True)
class Course:
    """How a classifier is fitted; `seconds` bounds it."""

    seed: int
    batch_tokens: int
    learning_rate: float
    epochs: float
    least_steps: int = 0
    seconds: float | None = None


def fit(model: nn.Module, examples: Examples, course: Course, *, checkpoint: Path | None = None) -> int:
    """Trains in place.

    Returns:
        How many steps it took.
    """
    batches = BucketedBatches(examples.texts.lengths, max_tokens=course.batch_tokens, seed=course.seed)

    def batch_at(step: int) -> Batch:
        chosen = batches.at(step)
        ids, mask = examples.texts.padded(chosen)
        return {"input_ids": ids, "attention_mask": mask, "targets": examples.targets[chosen]}

    steps = max(course.least_steps, int(course.epochs * batches.steps_per_epoch))
    schedule = Schedule(
        steps=steps,
        learning_rate=course.learning_rate,
        warmup_steps=min(100, steps // 10),
        seed=course.seed,
        seconds=course.seconds,
    )
    return train(model, batch_at, _loss_of, schedule, checkpoint=checkpoint)


def _loss_of(network: nn.Module, batch: Batch) -> Tensor:
    """Cross entropy with soft targets, whose hard ones are smoothed (Szegedy et al., 2016)."""
    targets = batch.pop("targets")
    logits: Tensor = network(**batch).logits
    return nn.functional.cross_entropy(logits.float(), targets, label_smoothing=0.05)


@torch.inference_mode()
def logits_of(model: nn.Module, texts: Ragged) -> Tensor:
    """Scores of every row before the softmax, (rows, labels), float32, on the CPU."""
    model.eval()
    device = next(model.parameters()).device
    order = sorted(range(len(texts)), key=texts.lengths.__getitem__)
    found: dict[int, Tensor] = {}
    for part in _chunks(order, texts.lengths):
        ids, mask = texts.padded(part)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            logits = model(input_ids=ids, attention_mask=mask).logits
        found.update(zip(part, logits.float().cpu(), strict=True))
    return torch.stack([found[row] for row in range(len(texts))])


def accuracy(model: nn.Module, examples: Examples) -> float:
    """Share of rows whose likeliest label is the likeliest target."""
    right = logits_of(model, examples.texts).argmax(-1) == examples.targets.argmax(-1).cpu()
    return float(right.float().mean())


def _chunks(order: Sequence[int], lengths: Sequence[int]) -> list[list[int]]:
    chunks: list[list[int]] = []
    for row in order:  # in ascending length: the newest is the longest
        if not chunks or (len(chunks[-1]) + 1) * lengths[row] > _EVALUATION_TOKENS:
            chunks.append([])
        chunks[-1].append(row)
    return chunks


def temperature_of(sets: Sequence[tuple[Tensor, Tensor]]) -> float:
    """The temperature (Guo et al., 2017) under which sets of logits and labels are likeliest, each set counting once."""
    losses = [
        sum(float(nn.functional.cross_entropy(logits / t, labels)) for logits, labels in sets) for t in _GRID
    ]
    return _GRID[losses.index(min(losses))]


def calibration_error(probability: Tensor, right: Tensor) -> float:
    """Expected calibration error of the named label's probability, 15 bins of equal width (Guo et al., 2017)."""
    bins = (probability * _NUM_BINS).long().clamp(max=_NUM_BINS - 1)
    gaps = [
        float((probability[bins == b].mean() - right[bins == b].float().mean()).abs() * (bins == b).sum())
        for b in range(_NUM_BINS)
        if bool((bins == b).any())
    ]
    return sum(gaps) / len(probability)


def divide_head(layer: nn.Linear, temperature: float) -> None:
    """Folds a temperature into the last layer, so that nothing extra is needed to serve the model."""
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.div_(temperature)
