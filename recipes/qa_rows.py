"""What the bundled question-answering model is trained, calibrated and tested on."""

from __future__ import annotations

from pathlib import Path

from recipes.heldout import is_kept, read_held_out
from recipes.questions import (
    Question,
    read_fairytales,
    read_qamr,
    read_shifted,
    read_squad,
    read_unanswerable,
)
from recipes.unanswerable import altered, elsewhere

Sources = dict[str, list[Question]]


def training_questions(data: Path, *, seed: int) -> list[Question]:
    """Everything that is trained on; nothing of `heldout.sha256` is in it."""
    squad, wiki = read_squad(data, "train"), read_shifted(data, "new_wiki", "train")
    comments, tales = read_shifted(data, "reddit", "train"), read_fairytales(data, "train")
    rows = [
        *squad, *wiki, *comments, *tales, *read_qamr(data, "wikipedia"),
        *read_unanswerable(data, "train") * 2,
        *elsewhere(squad, 0.3, seed=seed), *elsewhere(wiki, 0.3, seed=seed), *elsewhere(comments, 0.15, seed=seed),
        *altered(squad, 0.3, seed=seed), *altered(wiki, 0.3, seed=seed),
    ]  # fmt: skip
    kept = read_held_out(data)
    return [row for row in rows if not is_kept(row.text, kept) and not is_kept(row.context, kept)]


def calibration_questions(data: Path) -> list[Question]:
    """Answerable questions of the dev articles and comments, on which the temperature is found."""
    return [
        *read_squad(data, "dev"),
        *read_shifted(data, "new_wiki", "dev"),
        *read_shifted(data, "reddit", "dev"),
        *read_fairytales(data, "dev"),
    ]


def test_questions(data: Path) -> Sources:
    """Held-out articles, comments and tales; news sentences, a source that nothing was trained on; and unanswerable ones."""
    return {
        "squad": read_squad(data, "test"),
        "tales": read_fairytales(data, "test"),
        "new_wiki": read_shifted(data, "new_wiki", "test"),
        "reddit": read_shifted(data, "reddit", "test"),
        "news": read_qamr(data, "wikinews"),
        "unanswerable": read_unanswerable(data, "test"),
    }
