"""Questions that their context does not answer, made from ones that it does.

Two ways, as known from work on SQuAD 2.0 (Rajpurkar et al., 2018, section 3; Jia and Liang,
2017): a passage on the same matter that lacks the answer, and a question that asks for
something else with almost the same words.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from recipes.questions import Question

_WORD = re.compile(r"[a-z0-9]+")
_NUMBER = re.compile(r"\b\d[\d,.]*\b")
_NAME = re.compile(r"(?<!^)\b[A-Z][a-z]+(?: [A-Z][a-z]+)*\b")
_OPPOSITES = (
    ("first", "last"), ("most", "least"), ("before", "after"), ("largest", "smallest"), ("north", "south"),
    ("east", "west"), ("increase", "decrease"), ("highest", "lowest"), ("more", "fewer"), ("old", "new"),
    ("best", "worst"), ("earliest", "latest"), ("began", "ended"), ("begin", "end"), ("win", "lose"), ("won", "lost"),
    ("early", "late"), ("is", "isn't"), ("was", "wasn't"), ("did", "didn't"), ("can", "can't"), ("are", "aren't"),
    ("does", "doesn't"), ("were", "weren't"), ("has", "hasn't"), ("large", "small"), ("high", "low"), ("up", "down"),
)  # fmt: skip
_OPPOSITE = {a: b for pair in _OPPOSITES for a, b in (pair, pair[::-1])}


def elsewhere(questions: Sequence[Question], share: float, *, seed: int) -> list[Question]:
    """A share of the questions, each with the passage of its own article that is likest to it but lacks its answers."""
    draw = random.Random(f"elsewhere {seed}")
    passages: dict[str, list[str]] = defaultdict(list)
    for question in questions:
        if not passages[question.article] or passages[question.article][-1] != question.context:
            passages[question.article].append(question.context)
    indices = {article: _Index(texts) for article, texts in passages.items()}
    made = []
    for question in questions:
        if draw.random() < share:
            context = indices[question.article].likest(question)
            if context is not None:
                made.append(replace(question, context=context, answers=(), start=-1))
    return made


def altered(questions: Iterable[Question], share: float, *, seed: int) -> list[Question]:
    """A share of the questions with one number, name or turning word exchanged; those that have none are left out."""
    draw = random.Random(f"altered {seed}")
    made = []
    for question in questions:
        if draw.random() < share:
            text = _changed(question, draw)
            if text is not None:
                made.append(replace(question, text=text, answers=(), start=-1))
    return made


def _changed(question: Question, draw: random.Random) -> str | None:
    for pattern in draw.sample((_NUMBER, _NAME), 2):
        found = list(pattern.finditer(question.text))
        others = sorted(
            set(pattern.findall(question.context)) - {m.group() for m in found} - set(question.answers)
        )
        if found and others:
            at = draw.choice(found)
            other: str = draw.choice(others)
            return question.text[: at.start()] + other + question.text[at.end() :]
    words = question.text.split(" ")
    turning = [number for number, word in enumerate(words) if word in _OPPOSITE]
    if not turning:
        return None
    at_word = draw.choice(turning)
    words[at_word] = _OPPOSITE[words[at_word]]
    return " ".join(words)


class _Index:
    """Passages by the words they share with a question, rare words counting more."""

    def __init__(self, passages: Sequence[str]) -> None:
        self._passages = list(dict.fromkeys(passages))
        self._places: dict[str, list[int]] = defaultdict(list)
        for number, passage in enumerate(self._passages):
            for word in set(_WORD.findall(passage.lower())):
                self._places[word].append(number)

    def likest(self, question: Question) -> str | None:
        scores: Counter[int] = Counter()
        for word in set(_WORD.findall(question.text.lower())):
            places = self._places.get(word, ())
            for number in places:
                scores[number] += math.log(len(self._passages) / len(places))  # type: ignore[assignment]
        for number, _ in scores.most_common(8):
            passage = self._passages[number]
            if passage != question.context and not any(
                answer.casefold() in passage.casefold() for answer in question.answers
            ):
                return passage
        return None
