"""How the bundled sentiment model is made: teachers, their ratings of unrated sentences, and the model itself.

Two teachers are fitted to the rated rows from different seeds. Their mean rating of some
fifty thousand sentences of reviews, beside the rated rows, is what the model is fitted to
(self-training; e.g. Xie et al., 2020, "Self-training with noisy student").
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recipes.classifier import (
    Course,
    Examples,
    calibration_error,
    divide_head,
    fit,
    logits_of,
    temperature_of,
)
from recipes.ragged import Ragged

#: How often a row of a source is seen in one epoch.
REPEATS: Mapping[str, int] = {"films": 4, "products": 2}
_TEACHERS = 2
_TEACHER_SHARE = 0.22  # of the seconds, each
_EPOCHS = 4.0
_BATCH_TOKENS = 16_384
_LEARNING_RATE = 3e-4


@dataclass(frozen=True, kw_only=True)
class Material:
    """Rows as token ids, on one device."""

    rated: Examples
    unrated: Ragged
    calibration: Mapping[str, Examples]
    test: Mapping[str, Examples]


def run(
    model: nn.Module, material: Material, *, seed: int, seconds: float | None, checkpoint: Path | None = None
) -> dict[str, float]:
    """Trains and calibrates `model` in place.

    Args:
        model: the encoder with a new head.
        material: what to learn from.
        seed: of everything random.
        seconds: at most, about; None: four epochs each, however long they take.
        checkpoint: a file to resume from; each of the three trainings adds its name.

    Returns:
        Figures: steps, temperature, and the teachers' on the dev sets.
    """
    figures: dict[str, float] = {}
    ratings = torch.zeros(len(material.unrated), 2)
    for number in range(_TEACHERS):
        teacher = _with_new_head(model, seed=seed + 100 + number)
        name = f"teacher_{number}"
        course = _course(seed + 100 + number, seconds, _TEACHER_SHARE)
        figures[f"{name}_steps"] = fit(teacher, material.rated, course, checkpoint=_file(checkpoint, name))
        _calibrate(teacher, material)
        figures |= _measure(teacher, material.calibration, f"{name}_dev_")
        ratings += torch.softmax(logits_of(teacher, material.unrated), -1) / _TEACHERS
    course = _course(seed, seconds, 1 - _TEACHERS * _TEACHER_SHARE)
    figures["steps"] = fit(model, _joined(material, ratings), course, checkpoint=_file(checkpoint, "model"))
    figures["temperature"] = _calibrate(model, material)
    return figures


def measure(model: nn.Module, material: Material) -> dict[str, float]:
    """Accuracy and calibration error of every dev and test set."""
    return _measure(model, material.calibration, "dev_") | _measure(model, material.test)


def _course(seed: int, seconds: float | None, share: float) -> Course:
    return Course(
        seed=seed, batch_tokens=_BATCH_TOKENS, learning_rate=_LEARNING_RATE, epochs=_EPOCHS,
        seconds=None if seconds is None else share * seconds,
    )  # fmt: skip


def _file(checkpoint: Path | None, name: str) -> Path | None:
    return None if checkpoint is None else checkpoint.with_stem(f"{checkpoint.stem}-{name}")


def _with_new_head(model: Any, *, seed: int) -> Any:
    teacher = copy.deepcopy(model)
    torch.manual_seed(seed)
    teacher.classifier.reset_parameters()
    return teacher


def _joined(material: Material, ratings: Tensor) -> Examples:
    targets = torch.cat([material.rated.targets, ratings.to(material.rated.targets.device)])
    return Examples(texts=Ragged.joined(material.rated.texts, material.unrated), targets=targets)


def _calibrate(model: Any, material: Material) -> float:
    sets = [
        (logits_of(model, part.texts), part.targets.argmax(-1).cpu())
        for part in material.calibration.values()
    ]
    temperature = temperature_of(sets)
    divide_head(model.classifier, temperature)
    return temperature


def _measure(model: nn.Module, sets: Mapping[str, Examples], prefix: str = "") -> dict[str, float]:
    figures = {}
    for name, part in sets.items():
        probability, label = torch.softmax(logits_of(model, part.texts), -1).max(-1)
        right = label == part.targets.argmax(-1).cpu()
        figures[f"{prefix}{name}_accuracy"] = float(right.float().mean())
        figures[f"{prefix}{name}_calibration_error"] = calibration_error(probability, right)
    return figures
