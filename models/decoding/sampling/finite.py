"""Scores that are no numbers fail their document, instead of choosing a token like any other."""

from __future__ import annotations

from models.errors import NotFinite


def check_finite(best: float) -> None:
    """Looks at the best of a row's scores.

    Raises:
        NotFinite: it is no number, or infinite.
    """
    if best != best or best == float("inf"):  # NaN alone differs from itself
        raise NotFinite
