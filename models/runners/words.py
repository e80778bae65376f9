"""Answers end where words do, as transformers' question-answering pipeline has them.

The words are the tokenizer's own: what it cuts a text into before it makes pieces. Where
a script writes no spaces, such a "word" may be a whole sentence (tokenizers that know
spaces alone): there an answer keeps the bounds of its tokens.
"""

from __future__ import annotations

from collections.abc import Sequence

from models.runners.reading import Places

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


class Words:
    """The words of one context."""

    def __init__(self, context: str, places: Places) -> None:
        self._context = context
        self._offsets: Sequence[tuple[int, int]] = places.offsets
        self._words: Sequence[int | None] = places.word_ids

    def around(self, first: int, last: int) -> tuple[int, int]:
        """Characters from the beginning of the first token's word to the end of the last token's."""
        return self._begin(first), self._end(last)

    def _begin(self, token: int) -> int:
        word, own = self._words[token], self._offsets[token][0]
        while word is not None and token and self._words[token - 1] == word:
            token -= 1
        begin = self._offsets[token][0]
        return own - _spaced(self._context[begin : own + 1][::-1])

    def _end(self, token: int) -> int:
        word, own = self._words[token], self._offsets[token][1]
        while word is not None and token + 1 < len(self._words) and self._words[token + 1] == word:
            token += 1
        end = self._offsets[token][1]
        return own + _spaced(self._context[max(own - 1, 0) : end])


def _spaced(characters: str) -> int:
    """How many characters follow the first one before a script without spaces begins; 0 if it is of one."""
    for number, one in enumerate(characters):
        if any(low <= ord(one) <= high for low, high in _UNSPACED):
            return max(0, number - 1)
    return max(0, len(characters) - 1)
