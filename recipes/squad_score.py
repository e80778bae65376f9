"""Exact match and token F1 as SQuAD defines them (Rajpurkar et al., 2016, section 6)."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(answer: str) -> str:
    """Lower case, without punctuation, articles and extra white space."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def f1(answer: str, references: Sequence[str]) -> float:
    """The best token overlap with any reference; no reference means that silence is right."""
    if not references:
        return float(not normalise(answer))
    return max(_f1(normalise(answer).split(), normalise(reference).split()) for reference in references)


def exact(answer: str, references: Sequence[str]) -> float:
    """1 when the answer equals a reference after normalisation."""
    return float(any(normalise(answer) == normalise(r) for r in references or ("",)))


def _f1(answer: list[str], reference: list[str]) -> float:
    common = sum((Counter(answer) & Counter(reference)).values())
    if not common:
        return float(answer == reference)
    precision, recall = common / len(answer), common / len(reference)
    return 2 * precision * recall / (precision + recall)
