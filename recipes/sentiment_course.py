"""How the bundled sentiment model is made: fitted to the rated rows, its temperature found, and measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from recipes.classifier import (
    Course,
    Examples,
    calibration_error,
    divide_head,
    fit,
    logits_of,
    temperature_of,
)

#: How often a row of a source is seen in one epoch.
REPEATS: Mapping[str, int] = {"films": 2, "products": 2}
_EPOCHS = 3.0
_BATCH_TOKENS = 4096
_LEARNING_RATE = 1e-4


@dataclass(frozen=True, kw_only=True)
class Material:
    """Rows as token ids, on one device."""

    rated: Examples
    calibration: Mapping[str, Examples]
    test: Mapping[str, Examples]

    @property
    def measured(self) -> dict[str, Examples]:
        """Every set that figures are shown of, by the name that they have in them."""
        return {**{f"dev_{name}": part for name, part in self.calibration.items()}, **self.test}


def run(
    model: nn.Module, material: Material, *, seed: int, seconds: float | None, checkpoint: Path | None = None
) -> dict[str, float]:
    """Trains and calibrates `model` in place.

    Args:
        model: the encoder with a new head.
        material: what to learn from.
        seed: of everything random.
        seconds: at most, about; None: three epochs, however long they take.
        checkpoint: a file to resume from.

    Returns:
        Figures: steps and temperature.
    """
    course = Course(
        seed=seed, batch_tokens=_BATCH_TOKENS, learning_rate=_LEARNING_RATE, epochs=_EPOCHS, seconds=seconds
    )
    steps = fit(model, material.rated, course, checkpoint=checkpoint)
    return {"steps": steps, "temperature": _calibrate(model, material)}


def measure(model: nn.Module, sets: Mapping[str, Examples]) -> dict[str, float]:
    """Accuracy and calibration error of every set."""
    figures = {}
    for name, part in sets.items():
        probability, label = torch.softmax(logits_of(model, part.texts), -1).max(-1)
        right = label == part.targets.argmax(-1).cpu()
        figures[f"{name}_accuracy"] = float(right.float().mean())
        figures[f"{name}_calibration_error"] = calibration_error(probability, right)
    return figures


def _calibrate(model: Any, material: Material) -> float:
    sets = [
        (logits_of(model, part.texts), part.targets.argmax(-1).cpu())
        for part in material.calibration.values()
    ]
    temperature = temperature_of(sets)
    divide_head(model.classifier, temperature)
    return temperature
