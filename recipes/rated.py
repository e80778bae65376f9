"""A text and how likely a reader is to call it positive."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

NEUTRAL = 0.5
#: Between these lies the score that a neutral text should have.
MIDDLE = (0.25, 0.75)


@dataclass(frozen=True)
class Rated:
    """A text with the share of readers who would call it positive: 0, 1, or between for doubt."""

    text: str
    positive: float


def labelled(rows: Iterable[Rated]) -> list[Rated]:
    """Those that are one or the other."""
    return [row for row in rows if row.positive != NEUTRAL]
