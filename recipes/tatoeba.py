"""Tatoeba English-German pairs (CC BY 2.0 FR), split by sentences that share a translation."""

from __future__ import annotations

import zipfile
from collections import defaultdict
from pathlib import Path

from recipes.splits import Split, split_of

_TEST_SHARE, _DEV_SHARE = 0.02, 0.005


def read_pairs(data: Path, split: Split) -> list[tuple[str, str]]:
    """(English, German) of one split; sentences that share a source or a target fall on the same side.

    So "It hurts." and "It aches.", both "Es tut weh.", do not part. What hangs together is held out if
    all its English sentences are by themselves; of what hangs together otherwise, all is trained on.
    """
    pairs = _all_pairs(data)
    component_of = _components(pairs)
    splits: defaultdict[str, set[Split]] = defaultdict(set)
    for english, _ in pairs:
        key = _key(english)
        splits[component_of["en:" + key]].add(split_of(key, dev_share=_DEV_SHARE, test_share=_TEST_SHARE))
    wanted = {name for name, found in splits.items() if (found if len(found) == 1 else {"train"}) == {split}}
    return [pair for pair in pairs if component_of["en:" + _key(pair[0])] in wanted]


def references(pairs: list[tuple[str, str]]) -> dict[str, list[str]]:
    """Every German translation of each English sentence."""
    found: dict[str, list[str]] = {}
    for english, german in pairs:
        found.setdefault(english, []).append(german)
    return found


def _all_pairs(data: Path) -> list[tuple[str, str]]:
    with zipfile.ZipFile(data / "tatoeba-en-de" / "deu-eng.zip") as archive:
        lines = archive.read("deu.txt").decode("utf-8").splitlines()
    return list(dict.fromkeys((en, de) for en, de, *_ in (line.split("\t") for line in lines)))


def _components(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """For each sentence, one that stands for all it hangs together with (union-find)."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        while parent.setdefault(name, name) != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for english, german in pairs:
        parent[root("en:" + _key(english))] = root("de:" + _key(german))
    return {name: root(name) for name in list(parent)}


def _key(sentence: str) -> str:
    """Ignores case and punctuation, so that "Tom left!" and "Tom left." do not part."""
    return "".join(c for c in sentence.lower() if c.isalnum() or c == " ").strip()
