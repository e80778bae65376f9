"""An interpolated Kneser-Ney word 5-gram model: the baseline that a neural model must beat.

The estimate is the interpolated form with one discount (Chen and Goodman, 1999, section 3):
highest order from counts, lower orders from the number of distinct left contexts.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence

_WORDS = re.compile(r"\w+|[^\w\s]")
_DISCOUNT = 0.75


def words_of(text: str) -> list[str]:
    """Words and punctuation marks."""
    return _WORDS.findall(text)


class KneserNey:
    """Trained once on a list of words; unseen words share one unknown symbol."""

    def __init__(self, words: Sequence[str], *, order: int = 5, minimum_count: int = 2) -> None:
        seen = Counter(words)
        self.vocabulary = {word for word, count in seen.items() if count >= minimum_count}
        self._order = order
        symbols = [self._known(word) for word in words]
        self._counts: list[dict[tuple[str, ...], Counter[str]]] = []
        grams = Counter(zip(*(symbols[i:] for i in range(order)), strict=False))
        for _ in range(order, 0, -1):
            table: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
            for gram, count in grams.items():
                table[gram[:-1]][gram[-1]] = count
            self._counts.insert(0, table)
            grams = Counter(gram[1:] for gram in grams)  # lower orders count distinct left contexts
        self._totals = [{c: sum(t.values()) for c, t in table.items()} for table in self._counts]

    def log_probability(self, words: Sequence[str]) -> float:
        """Natural log of the probability of the words in a row."""
        symbols = [self._known(word) for word in words]
        total = 0.0
        for i, symbol in enumerate(symbols):
            context = tuple(symbols[max(0, i - self._order + 1) : i])
            total += math.log(self._probability(symbol, context))
        return total

    def _probability(self, word: str, context: tuple[str, ...]) -> float:
        value = 1.0 / (len(self.vocabulary) + 1)
        for length in range(len(context) + 1):
            part = context[len(context) - length :]
            table = self._counts[length].get(part)
            if table is None:
                break
            total = self._totals[length][part]
            value = max(table[word] - _DISCOUNT, 0.0) / total + _DISCOUNT * len(table) / total * value
        return value

    def _known(self, word: str) -> str:
        return word if word in self.vocabulary else "<unknown>"
