"""Answers end where words do, as transformers' question-answering pipeline has them.

The words are the tokenizer's own: what it cuts a text into before it makes pieces. Where
a script writes no spaces, such a "word" may be a whole sentence (tokenizers that know
spaces alone): there an answer keeps the bounds of its tokens.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from models.encoders.reading import Places

#: First and last code points of scripts written without spaces between words.
_UNSPACED = (
    (0x0E00, 0x0EFF),  # Thai, Lao
    (0x1000, 0x109F),  # Myanmar
    (0x1780, 0x17FF),  # Khmer
    (0x2E80, 0x2FDF),  # radicals of Han
    (0x3001, 0x312F),  # punctuation, Hiragana, Katakana, Bopomofo
    (0x31A0, 0x9FFF),  # Bopomofo, Katakana, Han
    (0xF900, 0xFAFF),  # Han
    (0xFF00, 0xFFEF),  # full and half width
    (0x1B000, 0x1B16F),  # Kana
    (0x20000, 0x3FFFF),  # Han
)


_UNSPACED_CHARACTER = re.compile("[" + "".join(f"{chr(low)}-{chr(high)}" for low, high in _UNSPACED) + "]")


class Words:
    """The words of one context; looked through once, however many answers are asked for."""

    def __init__(self, context: str, places: Places) -> None:
        self._offsets: Sequence[tuple[int, int]] = places.offsets
        words = places.word_ids
        #: First tokens of the words; a token of none stands for itself.
        self._firsts = [n for n, word in enumerate(words) if word is None or not n or words[n - 1] != word]
        self._unspaced = [found.start() for found in _UNSPACED_CHARACTER.finditer(context)]

    def around(self, first: int, last: int) -> tuple[int, int]:
        """Characters from the beginning of the first token's word to the end of the last token's."""
        return self._begin(first), self._end(last)

    def _begin(self, token: int) -> int:
        own = self._offsets[token][0]
        begin = self._offsets[self._firsts[bisect_right(self._firsts, token) - 1]][0]
        before = bisect_right(self._unspaced, own) - 1  # the nearest of a script without spaces
        if before >= 0 and self._unspaced[before] >= begin:
            return min(own, self._unspaced[before] + 1)
        return begin

    def _end(self, token: int) -> int:
        own = self._offsets[token][1]
        following = bisect_right(self._firsts, token)
        last = self._firsts[following] - 1 if following < len(self._firsts) else len(self._offsets) - 1
        end = self._offsets[last][1]
        behind = bisect_left(self._unspaced, max(own - 1, 0))
        if behind < len(self._unspaced) and self._unspaced[behind] < end:
            return max(own, self._unspaced[behind])
        return end
