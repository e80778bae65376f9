"""What the bundled sentiment model is trained, calibrated and tested on, by source."""

from __future__ import annotations

from pathlib import Path

from recipes.emoji import emoji_sentences
from recipes.goemotions import read_goemotions, read_neutral
from recipes.heldout import is_kept, key_of, read_held_out
from recipes.people import people_sentences, swapped
from recipes.rated import Rated
from recipes.review_grammar import review_sentences
from recipes.reviews import (
    film_sentences,
    long_reviews,
    opinion_words,
    plots,
    product_sentences,
    pros_and_cons,
    windows,
)

Sources = dict[str, list[Rated]]


def training_rows(data: Path, *, seed: int) -> Sources:
    """Everything that is trained on; nothing of `heldout.sha256` is in it, and no text that was set aside.

    The grammar, which knows no test set, by chance also writes some of the sentences that were written by hand.
    """
    comments = [Rated(row.text, float(row.label)) for row in read_goemotions(data, "train")]
    sources = {
        "comments": comments,
        "comments, swapped": swapped(comments, seed=seed),
        "comments, neutral": read_neutral(data, "train"),
        "films": film_sentences(data, "train"),
        "pros and cons": pros_and_cons(data),
        "products": product_sentences(data, 1),
        "long reviews": windows(long_reviews(data, "train")),
        "plots": plots(data),
        "words": opinion_words(data),
        "grammar": [Rated(row.text, float(row.label)) for row in review_sentences(12_000, seed=seed)],
        "people": people_sentences(16_000, seed=seed),
        "emoji": emoji_sentences(4_000, seed=seed),
    }
    kept = read_held_out(data)
    aside = {key_of(row.text) for name, rows in test_rows(data).items() if name != "comments" for row in rows}
    return {
        name: [row for row in rows if key_of(row.text) not in aside and not is_kept(row.text, kept)]
        for name, rows in sources.items()
    }


def calibration_rows(data: Path) -> Sources:
    """Rows of the dev splits, positive or negative, on which the temperature is found; none is kept for testing."""
    kept = read_held_out(data)
    sources = {
        "comments": [Rated(row.text, float(row.label)) for row in read_goemotions(data, "dev")],
        "films": film_sentences(data, "dev"),
    }
    return {name: [row for row in rows if not is_kept(row.text, kept)] for name, rows in sources.items()}


def test_rows(data: Path) -> Sources:
    """In-domain comments, and what was set aside before training."""
    return {
        "comments": [Rated(row.text, float(row.label)) for row in read_goemotions(data, "test")],
        "own_reviews": own_reviews(),
        "products": [row for row in product_sentences(data, 2) if row.positive in (0.0, 1.0)],
        "long_reviews": long_reviews(data, "test"),
    }


def own_reviews() -> list[Rated]:
    """Review sentences written by hand for this purpose, never trained on."""
    path = Path(__file__).with_name("review_test.tsv")
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    return [Rated(text, float(label)) for label, text in lines]
