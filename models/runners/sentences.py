"""Cutting a text into pieces that fit a translation model, and nothing lost in between.

A boundary is a mark that ends a sentence, any closing quotes or brackets, and white
space (or nothing, after the full-width marks of Chinese and Japanese). Abbreviations may
be cut after; that costs a little quality and never any text. Each piece remembers
the white space that followed it, so line breaks and paragraphs come back.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_SENTENCE = re.compile(r".+?(?:[.!?…]+[\"'”’»)\]]*(?=\s)|[。！？]+[」』”]*|$)\s*|\s+", re.DOTALL)  # noqa: RUF001
_LINE = re.compile(r"[^\n]*\n*")


@dataclass(frozen=True)
class Sentence:
    """A text and the white space after it."""

    text: str
    gap: str


def cut(
    text: str, *, fits: Callable[[str], bool], joins: Callable[[str], bool] | None = None
) -> list[Sentence]:
    """Runs of whole sentences, as long as they fit; a sentence that does not is cut at spaces.

    Args:
        text: what to cut.
        fits: whether the model takes a text at once.
        joins: whether sentences may become this piece; as `fits` when None.

    Lines are never joined: a list of headings is not one sentence. Joining every
    `text + gap` gives the input back, but for white space at its very start.
    """
    pieces: list[Sentence] = []
    for line in _LINE.findall(text):
        pieces += _merge([p for s in _SENTENCE.findall(line) for p in _shorten(s, fits)], joins or fits)
    return pieces


def _merge(parts: list[str], joins: Callable[[str], bool]) -> list[Sentence]:
    merged: list[str] = []
    for part in parts:
        if merged and joins((merged[-1] + part).strip()):
            merged[-1] += part
        else:
            merged.append(part)
    return [Sentence(m.strip(), m[len(m.rstrip()) :]) for m in merged if m]


def _shorten(sentence: str, fits: Callable[[str], bool]) -> list[str]:
    if fits(sentence.strip()):
        return [sentence]
    words = re.findall(r"\s*\S+\s*", sentence) or [sentence]
    if len(words) == 1:
        middle = len(sentence) // 2
        halves = [sentence[:middle], sentence[middle:]]
    else:
        middle = len(words) // 2
        halves = ["".join(words[:middle]), "".join(words[middle:])]
    return [p for half in halves if half for p in _shorten(half, fits)]
