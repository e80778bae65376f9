"""Measures a model folder of sentiment or question answering on every set that its card shows.

    python -m recipes.measure sentiment --data DIR --model FOLDER [--previous]

The figures join those of the training in FOLDER/metrics.json; with `--previous` they go where the card of
the next weights finds them instead (`recipes/cards/previous.json`).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForQuestionAnswering, AutoModelForSequenceClassification, AutoTokenizer

from recipes import qa_course, qa_rows, sentiment_course, sentiment_rows
from recipes.bundled_card import keep_as_previous
from recipes.classifier import Examples, examples_of
from recipes.goemotions import read_neutral
from recipes.group_audit import audit, filled_templates, probabilities_by
from recipes.rated import MIDDLE, Rated


def main() -> None:
    """Measures one model and keeps its figures."""
    options = _options()
    measure = {"sentiment": sentiment_figures, "qa": qa_figures}[options.task]
    figures = _rounded(measure(options.model, options.data))
    if options.previous:
        keep_as_previous(options.task, figures)
    else:
        path = options.model / "metrics.json"
        known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(json.dumps({**known, **figures}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=1))


def sentiment_figures(folder: Path, data: Path) -> dict[str, Any]:
    """Accuracy and calibration error by set, neutral scores near the middle, and the audit of groups."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    sets = {
        **{f"dev_{name}": rows for name, rows in sentiment_rows.calibration_rows(data).items()},
        **sentiment_rows.test_rows(data),
    }
    positive_of = probabilities_by(model, tokenizer)
    neutral = positive_of([row.text for row in read_neutral(data, "test")])
    return {
        **sentiment_course.measure(model, {name: _examples(tokenizer, rows) for name, rows in sets.items()}),
        "neutral_in_the_middle": float(((neutral > MIDDLE[0]) & (neutral < MIDDLE[1])).float().mean()),
        "audit": audit(positive_of, filled_templates(data / "fairness" / "holistic-bias")),
    }


def qa_figures(folder: Path, data: Path) -> dict[str, Any]:
    """F1, exact match and calibration error by set, and how well silence is told from speech."""
    model = AutoModelForQuestionAnswering.from_pretrained(folder, dtype=torch.float32)
    return dict(qa_course.measure(model, AutoTokenizer.from_pretrained(folder), qa_rows.test_questions(data)))


def _examples(tokenizer: Any, rows: list[Rated]) -> Examples:
    positive = torch.tensor([row.positive for row in rows])
    return examples_of(tokenizer, [row.text for row in rows], torch.stack([1 - positive, positive], -1))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(inner) for name, inner in value.items()}
    return round(value, 4) if isinstance(value, float) else value


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=("sentiment", "qa"))
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sets")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--previous", action="store_true", help="these weights are about to be replaced")
    return parser.parse_args()


if __name__ == "__main__":
    main()
