"""Sentiment's part of `benchmarks.quality`: a set in domain, three out of it, and neutral texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from recipes.classifier import calibration_error
from recipes.goemotions import read_neutral
from recipes.rated import MIDDLE, Rated
from recipes.sentiment_rows import test_rows

Rows = list[dict[str, Any]]
Score = Callable[[Sequence[Mapping[str, Any]]], dict[str, float]]


def sentiment(data: Path) -> tuple[Rows, Score]:
    """Accuracy and calibration error of every test set, and how many neutral scores are near the middle.

    `comments` (GoEmotions) is what was trained on; `own_reviews` were written by hand for this
    purpose; `products` and `long_reviews` were set aside before training.
    """
    sets = test_rows(data) | {"neutral": read_neutral(data, "test")}
    rows = [(name, row) for name, part in sets.items() for row in part]

    def score(outputs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        figures: dict[str, float] = {}
        said = list(zip(rows, outputs, strict=False))
        for name in sets:
            part = [(row, out["scores"]["POSITIVE"]) for (other, row), out in said if other == name]
            if part and name == "neutral":
                figures["neutral_in_the_middle"] = (
                    100 * sum(MIDDLE[0] < p < MIDDLE[1] for _, p in part) / len(part)
                )
            elif part:
                figures |= _figures(name, part)
        return figures

    return [{"text": row.text} for _, row in rows], score


def _figures(name: str, part: Sequence[tuple[Rated, float]]) -> dict[str, float]:
    positive = torch.tensor([p for _, p in part])
    right = (positive > 0.5) == torch.tensor([row.positive > 0.5 for row, _ in part])
    probability = torch.maximum(positive, 1 - positive)
    return {
        f"{name}_accuracy": 100 * float(right.float().mean()),
        f"{name}_calibration_error": calibration_error(probability, right),
    }
