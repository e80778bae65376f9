"""How the bundled question-answering model is made: fitted, its temperature found, and measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from recipes.classifier import calibration_error, divide_head
from recipes.qa_answers import Answer, answer
from recipes.qa_fit import Windows, fit
from recipes.questions import Question
from recipes.squad_score import exact, f1

_EPOCHS = 2.0
_BATCH_TOKENS = 4096
_GRID = tuple(0.3 + 0.05 * number for number in range(60))


def run(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    windows: Windows,
    dev: Sequence[Question],
    *,
    seed: int,
    seconds: float | None,
    checkpoint: Path | None = None,
) -> dict[str, float]:
    """Trains and calibrates `model` in place; at most about so many seconds of training.

    Returns:
        Figures: steps and temperature.
    """
    steps = fit(
        model, windows, seed=seed, seconds=seconds, epochs=_EPOCHS, batch_tokens=_BATCH_TOKENS, checkpoint=checkpoint
    )  # fmt: skip
    temperature = temperature_of(answer(model, tokenizer, dev), dev)
    divide_head(model.qa_outputs, temperature)
    return {"steps": steps, "temperature": temperature}


def temperature_of(answers: Sequence[Answer], questions: Sequence[Question]) -> float:
    """The temperature under which a span's probability is nearest to its F1 (least squares: the Brier score)."""
    truth = np.array([f1(a.text, q.answers) for a, q in zip(answers, questions, strict=True)])

    def loss(temperature: float) -> float:
        said = np.array([a.probability(temperature) for a in answers])
        return float(((said - truth) ** 2).mean())

    return min(_GRID, key=loss)


def measure(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, sets: Mapping[str, Sequence[Question]]
) -> dict[str, float]:
    """F1, exact match and calibration error of every set, and how well silence is told from speech."""
    figures: dict[str, float] = {}
    silence: dict[str, list[float]] = {}
    for name, questions in sets.items():
        answers = answer(model, tokenizer, questions)
        silence[name] = [a.silence for a in answers]
        if name != "unanswerable":
            figures |= _figures(name, answers, questions)
    if "unanswerable" in sets and "squad" in sets:
        figures["no_answer_auc"] = auc(silence["unanswerable"], silence["squad"])
    return figures


def _figures(name: str, answers: Sequence[Answer], questions: Sequence[Question]) -> dict[str, float]:
    pairs = [(a.text, q.answers) for a, q in zip(answers, questions, strict=True)]
    overlap = torch.tensor([f1(*pair) for pair in pairs])
    equal = torch.tensor([exact(*pair) for pair in pairs])
    said = torch.tensor([a.probability() for a in answers])
    return {
        f"{name}_questions": len(pairs),
        f"{name}_f1": 100 * float(overlap.mean()),
        f"{name}_exact": 100 * float(equal.mean()),
        f"{name}_mean_score": float(said.mean()),
        f"{name}_calibration_error": calibration_error(said, overlap),
        f"{name}_calibration_error_exact": calibration_error(said, equal),
    }


def auc(positive: Sequence[float], negative: Sequence[float]) -> float:
    """Area under the ROC curve (the rank-sum form of Mann and Whitney)."""
    scored = sorted([(v, 1) for v in positive] + [(v, 0) for v in negative])
    rank_sum = sum(rank for rank, (_, is_positive) in enumerate(scored, 1) if is_positive)
    return (rank_sum - len(positive) * (len(positive) + 1) / 2) / (len(positive) * len(negative))
