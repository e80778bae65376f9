"""GoEmotions, grouped by sentiment (Apache-2.0): rows labelled exactly negative, neutral or positive."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from recipes.rated import NEUTRAL, Rated

_NEGATIVE, _NEUTRAL, _POSITIVE = "1", "2", "3"


@dataclass(frozen=True)
class Labelled:
    """A text with its label: 0 negative, 1 positive."""

    text: str
    label: int


def read_goemotions(data: Path, split: Literal["train", "dev", "test"]) -> list[Labelled]:
    """The rows of one official split that carry one of the two labels, alone."""
    rows = []
    path = data / "goemotions" / "group" / f"{split}.tsv"
    for line in path.read_text(encoding="utf-8").splitlines():
        text, labels, _ = line.split("\t")
        if labels in (_NEGATIVE, _POSITIVE):
            rows.append(Labelled(text, int(labels == _POSITIVE)))
    return rows


def read_neutral(data: Path, split: Literal["train", "dev", "test"]) -> list[Rated]:
    """The rows of one official split that are labelled neutral, alone."""
    path = data / "goemotions" / "group" / f"{split}.tsv"
    rows = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
    return [Rated(text, NEUTRAL) for text, labels, _ in rows if labels == _NEUTRAL]
