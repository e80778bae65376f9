"""Question answering's part of `benchmarks.quality`: F1, calibration and silence, by set."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from recipes.classifier import calibration_error
from recipes.qa_rows import test_questions
from recipes.squad_score import exact, f1

Rows = list[dict[str, Any]]
Score = Callable[[Sequence[Mapping[str, Any]]], dict[str, float]]
_MOST_OF_A_SET = 1500
_UNANSWERABLE = "unanswerable"


def qa(data: Path) -> tuple[Rows, Score]:
    """F1, exact match and calibration error by set, and how many unanswerable questions are left unanswered.

    `squad`, `tales`, `new_wiki` and `reddit` are articles, tales and comments that were held
    out; `news` is a source that nothing was trained on. Unanswerable questions of held-out
    articles are asked with `allow_no_answer`, beside the answerable ones of `squad`.
    """
    sets = {name: part[:_MOST_OF_A_SET] for name, part in test_questions(data).items()}
    sets["squad, may be silent"] = sets["squad"]
    silent = (_UNANSWERABLE, "squad, may be silent")
    rows = [(name, question) for name, part in sets.items() for question in part]

    def score(outputs: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        figures: dict[str, float] = {}
        said = list(zip(rows, outputs, strict=False))
        for name in sets:
            part = [(question, out) for (other, question), out in said if other == name]
            if part and name in silent:
                share = sum(not out["answer"] for _, out in part) / len(part)
                figures[f"{name.partition(',')[0]}_left_unanswered"] = 100 * share
            elif part:
                figures |= _figures(name, part)
        return figures

    asked = [
        {"text": question.text, "context": question.context}
        | ({"params": {"allow_no_answer": True}} if name in silent else {})
        for name, question in rows
    ]
    return asked, score


def _figures(name: str, part: Sequence[tuple[Any, Mapping[str, Any]]]) -> dict[str, float]:
    overlap = torch.tensor([f1(out["answer"], question.answers) for question, out in part])
    equal = torch.tensor([exact(out["answer"], question.answers) for question, out in part])
    said = torch.tensor([float(out["score"]) for _, out in part])
    return {
        f"{name}_f1": 100 * float(overlap.mean()),
        f"{name}_exact": 100 * float(equal.mean()),
        f"{name}_calibration_error": calibration_error(said, overlap),
    }
