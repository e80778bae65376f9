"""When two computations of the same rows say the same: they differ by rounding only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Scores = list[NDArray[np.float32]]  #: of each row

#: Scores beyond are no scores: so a model says that a token cannot be it.
_RULED_OUT = 1e4
_MOST_OF_SPREAD = 0.2  #: between texts, that rounding may explain
#: How much scores may differ: beside their spread between texts, and beside their size (rounding).
_TOLERANCE = {
    "float32": (1e-3, 2e-5),
    "float16": (2e-2, 5e-3),
    "bfloat16": (6e-2, 3e-2),
    "int8": (1e-1, 6e-2),
}


class Likeness:
    """Knows how far scores may be apart, by what the same model says of different texts."""

    def __init__(self, scores: Scores, dtype: str) -> None:
        spread, size = _scales(scores)
        of_spread, of_size = _TOLERANCE[dtype]
        self._allowed = max(of_spread * spread, of_size * size)
        self._most_by_rounding = _MOST_OF_SPREAD * spread
        self._scores = scores

    def learn_rounding(self, shaken: Scores) -> None:
        """Scores of the same rows, moved by about as much rounding as a computation has: so much is allowed.

        But where rounding moves scores as far as another text does, it explains nothing.
        """
        moved = max(float(np.abs(a - b).max(initial=0.0)) for a, b in zip(self._scores, shaken, strict=True))
        if np.isfinite(moved):
            self._allowed = max(self._allowed, min(moved, self._most_by_rounding))

    def holds(self, one: Scores, other: Scores) -> bool:
        """Whether scores are the same but for rounding."""
        return len(one) == len(other) and all(
            bool(np.isfinite(b).all()) and float(np.abs(a - b).max(initial=0.0)) <= self._allowed
            for a, b in zip(one, other, strict=True)
        )


def clipped(scores: Sequence[NDArray[np.float32]]) -> Scores:
    """Scores that can be compared, also where a token is ruled out."""
    return [np.clip(one, -_RULED_OUT, _RULED_OUT) for one in scores]


def _scales(scores: Scores) -> tuple[float, float]:
    """How much scores differ between texts (or tokens), and how large they are."""
    rows = np.concatenate([one if one.ndim > 1 else one[None] for one in scores])
    told = rows[(np.abs(rows) < _RULED_OUT).all(axis=1)]
    if not len(told):
        return 0.0, 0.0
    return float(np.std(told, axis=0).max()), float(np.abs(told).max())
