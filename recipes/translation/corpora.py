"""What is trained on and what is set aside, before any training, of the four sources.

| source | trained on | set aside |
|---|---|---|
| Tatoeba | components with a sentence of the training share | the others (`recipes.tatoeba`) |
| NTREX-128, news | the first two thirds | the articles from row 1293 on |
| tldr, descriptions of commands | the first four fifths | the pages from row 1277 on |
| XQuAD, encyclopedia | nothing | all questions and paragraphs of one sentence to a sentence |
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from recipes.heldout import is_kept, read_held_out
from recipes.tatoeba import read_pairs, references

Pair = tuple[str, str]  # English, German
SETS = ("tatoeba", "ntrex", "tldr", "xquad")

#: An article and a page begin there.
_FIRST_ASIDE = {"ntrex": 1293, "tldr": 1277}
#: Long sentences are rare; subword sampling and other names make each copy another row.
_COPIES = {"ntrex": 4, "tldr": 2}
_COPIES_WITH_DIGITS = 3
#: So many times as many characters, and a few more, on one side: no translation of each other.
_MOST_TIMES, _FEW_CHARACTERS = 2.2, 12
_SHORTEST_CHECKED = 3
_DIGITS = re.compile(r"\d+")


def training_pairs(data: Path) -> list[Pair]:
    """All pairs to train on, rare kinds several times; none that is kept for testing, here or elsewhere."""
    held_out = read_held_out(data)
    aside = {_plain(text) for name in _FIRST_ASIDE for pair in _aside(data, name) for text in pair}
    found = read_pairs(data, "train")
    for name, first in _FIRST_ASIDE.items():
        found += _rows(data, name)[:first] * _COPIES[name]
    return [
        pair
        for english, german in found
        if _is_usable(english, german)
        and not is_kept(english, held_out)
        and not is_kept(german, held_out)
        and _plain(english) not in aside
        and _plain(german) not in aside
        for pair in [(english, german)] * (_COPIES_WITH_DIGITS if _DIGITS.search(english) else 1)
    ]


def sets_aside(data: Path, names: Sequence[str] = SETS) -> dict[str, dict[str, list[str]]]:
    """By name: English sentences that no training saw, and their translations."""
    return {name: references(_READERS[name](data)) for name in names}


def digits_of(text: str) -> Counter[str]:
    """The numbers of a text as runs of digits: "1,000" and "1.000" are the same."""
    return Counter(_DIGITS.findall(re.sub(r"(?<=\d)[.,](?=\d)", "", text)))


def _aside(data: Path, name: str) -> list[Pair]:
    return [pair for pair in _rows(data, name)[_FIRST_ASIDE[name] :] if _is_usable(*pair)]


def _rows(data: Path, name: str) -> list[Pair]:
    text = (data / name / "en-de.tsv").read_text(encoding="utf-8").replace("\xa0", " ")
    lines = text.split("\n")[:-1]
    return [(english, german) for english, _, german in (line.partition("\t") for line in lines)]


def _xquad(data: Path) -> list[Pair]:
    """Questions, and sentences of paragraphs that have equally many in both languages."""
    from sentencex import segment

    sides = []
    for language in ("en", "de"):
        text = gzip.decompress((data / "xquad" / f"xquad.{language}.json.gz").read_bytes())
        sides.append([p for article in json.loads(text)["data"] for p in article["paragraphs"]])
    pairs: list[Pair] = []
    for english, german in zip(*sides, strict=True):
        cut = [
            [sentence.strip() for sentence in segment(language, paragraph["context"])]
            for language, paragraph in (("en", english), ("de", german))
        ]
        if len(cut[0]) == len(cut[1]):
            pairs += zip(*cut, strict=True)
        of_german = {question["id"]: question["question"] for question in german["qas"]}
        pairs += [(question["question"], of_german[question["id"]]) for question in english["qas"]]
    return [pair for pair in dict.fromkeys(pairs) if _is_usable(*pair)]


def _is_usable(english: str, german: str) -> bool:
    """Neither empty nor of very unlike length, and with the same numbers on both sides.

    Tatoeba writes "2:30" as "halb drei" and "thirty-one" as "31": a model that learns so loses numbers.
    """
    short, long = sorted((len(english), len(german)))
    return (
        short >= _SHORTEST_CHECKED
        and long <= _MOST_TIMES * short + _FEW_CHARACTERS
        and "http" not in german  # the page's link stands in the place of a description
        and digits_of(english) == digits_of(german)
    )


def _plain(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())


_READERS: dict[str, Callable[[Path], list[Pair]]] = {
    "tatoeba": lambda data: read_pairs(data, "test"),
    "ntrex": lambda data: _aside(data, "ntrex"),
    "tldr": lambda data: _aside(data, "tldr"),
    "xquad": _xquad,
}
