"""Does a text repeat itself: the share of word n-grams that occurred in it before, and loops."""

from __future__ import annotations

from collections.abc import Sequence

_LOOP_SHARE = 0.2  # of repeated 4-grams: prose of a hundred words has under two in a hundred


def repeated_share(words: Sequence[str], *, size: int = 4) -> float:
    """Share of n-grams that occurred before ("seq-rep-n", Welleck et al., 2020); 0 where there is none."""
    grams = list(zip(*(words[start:] for start in range(size)), strict=False))
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def is_loop(words: Sequence[str]) -> bool:
    """True when so much is repeated that a reader stops."""
    return repeated_share(words) > _LOOP_SHARE
