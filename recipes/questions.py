"""Question sets in one shape: SQuAD dev and SQuADShifts (split by article or comment), FairytaleQA, QAMR."""

from __future__ import annotations

import csv
import gzip
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from recipes.splits import Split, split_of


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question; `answers` is empty when the context does not answer it."""

    text: str
    context: str
    answers: tuple[str, ...]
    start: int  #: of the first answer in the context; -1 when there is none
    article: str = ""  #: what it belongs to, where that is known


def article_split(title: str) -> Split:
    """SQuAD v1.1, v2.0 and XQuAD share articles, so the title alone decides for all three."""
    return split_of(title.replace(" ", "_"), dev_share=0.08, test_share=0.2)


def read_squad(data: Path, split: Split) -> list[Question]:
    """v1.1 questions of one split."""
    return [
        q
        for title, q in _squad(data / "squad-dev" / "dev-v1.1.reconstructed.json.gz")
        if article_split(title) == split
    ]


def read_unanswerable(data: Path, split: Split) -> list[Question]:
    """The unanswerable questions of v2.0 in one split."""
    rows = _squad(data / "squad-dev" / "dev-v2.0.reconstructed.json.gz")
    return [q for title, q in rows if article_split(title) == split and not q.answers]


def read_fairytales(data: Path, split: Split) -> list[Question]:
    """FairytaleQA's extractive questions, in its own splits."""
    name = {"train": "train", "dev": "val", "test": "test"}[split]
    return [q for _, q in _squad(data / "fairytaleqa" / f"extractive-{name}.squad.json.gz")]


def read_shifted(data: Path, name: Literal["new_wiki", "reddit"], split: Split) -> list[Question]:
    """SQuADShifts (Miller et al., 2020): whole articles of Wikipedia, or whole comments, are held out.

    The answer trained on is the one that most annotators gave.
    """
    found = []
    for title, question in _squad(data / "squadshifts" / f"{name}.json.gz"):
        key = title if name == "new_wiki" else question.context
        if split_of(key, dev_share=0.06, test_share=0.15) == split:
            found.append(question)
    return found


def read_qamr(data: Path, source: Literal["wikipedia", "wikinews"]) -> list[Question]:
    """One annotator's questions per target, on single sentences.

    Those of Wikipedia are trained on, those of Wikinews are set aside whole.
    """
    sentences = dict(_tsv(data / "qamr" / "wiki-sentences.tsv"))
    rows = []
    seen: dict[tuple[str, str], str] = {}
    for part in ("dev", "test"):
        for key, words, worker, *_, question, answer, _, _ in _tsv(data / "qamr" / f"{part}.tsv"):
            is_wanted = f":{source}:" in key and key in sentences
            if is_wanted and seen.setdefault((key, words), worker) == worker:
                found = _qamr_question(sentences[key], question, answer)
                rows += [found] if found else []
    return rows


def _qamr_question(sentence: str, question: str, answer: str) -> Question | None:
    tokens = sentence.split()
    wanted = [int(i) for i in answer.split()]
    if not wanted or wanted[-1] - wanted[0] + 1 != len(wanted):
        return None  # the span must be contiguous
    text, starts = detokenise(tokens)
    start = starts[wanted[0]]
    end = starts[wanted[-1]] + len(_plain(tokens[wanted[-1]]))
    return Question(text=question, context=text, answers=(text[start:end],), start=start)


_BRACKETS = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "``": '"', "''": '"'}
_NO_SPACE_BEFORE = re.compile(r"^([.,;:!?%)\]]|'s|'re|'ve|'ll|'d|'m|n't|'')$")
_NO_SPACE_AFTER = re.compile(r"^(\(|\[|``|\$)$")


def detokenise(tokens: list[str]) -> tuple[str, list[int]]:
    """Penn Treebank tokens as running text, and where each token starts in it."""
    text, starts = "", []
    for i, token in enumerate(tokens):
        glued = i == 0 or _NO_SPACE_BEFORE.match(_close(token)) or _NO_SPACE_AFTER.match(_open(tokens[i - 1]))
        text += "" if glued else " "
        starts.append(len(text))
        text += _plain(token)
    return text, starts


def _plain(token: str) -> str:
    return _BRACKETS.get(token, token)


def _close(token: str) -> str:
    return token if token == "''" else _plain(token)


def _open(token: str) -> str:
    return token if token == "``" else _plain(token)


def _tsv(path: Path) -> Iterator[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        yield from csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE)


def _squad(path: Path) -> Iterator[tuple[str, Question]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        articles: list[dict[str, Any]] = json.load(file)["data"]
    for article in articles:
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                answers = _most_given_first(qa["answers"])
                yield (
                    article["title"],
                    Question(
                        text=qa["question"],
                        context=paragraph["context"],
                        answers=tuple(a["text"] for a in answers),
                        start=answers[0]["answer_start"] if answers else -1,
                        article=article["title"],
                    ),
                )


def _most_given_first(answers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Annotators' answers, those on which most agree first; the shorter of equally many."""
    times = Counter(answer["text"] for answer in answers)
    return sorted(answers, key=lambda answer: (-times[answer["text"]], len(answer["text"])))
