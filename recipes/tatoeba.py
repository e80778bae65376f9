"""Tatoeba English-German pairs (CC BY 2.0 FR), split by English sentence."""

from __future__ import annotations

import zipfile
from pathlib import Path

from recipes.splits import Split, split_of

_TEST_SHARE, _DEV_SHARE = 0.02, 0.005


def read_pairs(data: Path, split: Split) -> list[tuple[str, str]]:
    """(English, German) of one split; all translations of a sentence fall on the same side.

    The key ignores case and punctuation, so that "Tom left!" and "Tom left." do not part.
    """
    with zipfile.ZipFile(data / "tatoeba-en-de" / "deu-eng.zip") as archive:
        lines = archive.read("deu.txt").decode("utf-8").splitlines()
    pairs = dict.fromkeys((en, de) for en, de, *_ in (line.split("\t") for line in lines))
    return [
        pair
        for pair in pairs
        if split_of(_key(pair[0]), dev_share=_DEV_SHARE, test_share=_TEST_SHARE) == split
    ]


def references(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Every German translation of each English sentence."""
    found: dict[str, list[str]] = {}
    for english, german in pairs:
        found.setdefault(english, []).append(german)
    return found


def _key(english: str) -> str:
    return "".join(c for c in english.lower() if c.isalnum() or c == " ").strip()
