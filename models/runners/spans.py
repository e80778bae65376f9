"""Finding the best spans of a context from the scores of its tokens. No model in here.

The score of a span is its start logit plus its end logit; spans of all windows compete.
Its probability is the product of two softmaxes, over the start and over the end logits
of every token of the context and of "no answer"; a token that several overlapping
windows saw counts once, with its highest logit. For one window that is what
transformers' question-answering pipeline gave.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Window:
    """The scores of one window: of its context tokens, and of "no answer"."""

    start: Logits
    end: Logits
    offsets: Sequence[tuple[int, int]]  #: characters of the context, for each token
    null_start: float
    null_end: float


@dataclass(frozen=True, kw_only=True)
class Span:
    """An answer; an empty one says that there is none."""

    start: int
    end: int
    probability: float


def best_spans(
    windows: Sequence[Window], context: str, *, top_k: int, max_answer_tokens: int, allow_no_answer: bool
) -> list[Span]:
    """The best spans with distinct texts, best first; at least one."""
    null = min(windows, key=lambda window: window.null_start + window.null_end)
    log_total = (
        _log_total([(window.offsets, window.start) for window in windows], null.null_start)
        + _log_total([(window.offsets, window.end) for window in windows], null.null_end)
    )  # fmt: skip
    null_score = null.null_start + null.null_end
    spans: list[Span] = []
    seen: set[str] = set()
    has_null = not allow_no_answer
    for score, first, last in _ranked(windows, max_answer_tokens):
        if not has_null and null_score > score:
            has_null = True
            spans.append(Span(start=0, end=0, probability=math.exp(null_score - log_total)))
        if len(spans) >= top_k:
            break
        start, end = _trimmed(context, first, last)
        text = context[start:end].casefold()
        if text and text not in seen:
            seen.add(text)
            spans.append(Span(start=start, end=end, probability=math.exp(score - log_total)))
    if not spans:  # nothing but white space could be an answer
        spans.append(Span(start=0, end=0, probability=math.exp(null_score - log_total)))
    return spans[:top_k]


def _ranked(windows: Sequence[Window], max_answer_tokens: int) -> Iterator[tuple[float, int, int]]:
    """Every span as (score, first character, last character), best first; ties by position."""
    scores, firsts, lasts = [], [], []
    for window in windows:
        begins = np.array([begin for begin, _ in window.offsets])
        ends = np.array([end for _, end in window.offsets])
        for extra in range(min(max_answer_tokens, len(begins))):
            stop = len(begins) - extra
            scores.append(window.start[:stop] + window.end[extra:])
            firsts.append(begins[:stop])
            lasts.append(ends[extra:])
    score, first, last = np.concatenate(scores), np.concatenate(firsts), np.concatenate(lasts)
    for number in np.lexsort((last, first, -score)):
        yield float(score[number]), int(first[number]), int(last[number])


def _log_total(rows: Sequence[tuple[Sequence[tuple[int, int]], Logits]], null: float) -> float:
    best: dict[tuple[int, int], float] = {}
    for offsets, logits in rows:
        for offset, logit in zip(offsets, logits.tolist(), strict=True):
            best[offset] = max(logit, best.get(offset, -math.inf))
    return float(np.logaddexp.reduce([*best.values(), null]))


def _trimmed(context: str, start: int, end: int) -> tuple[int, int]:
    """Without white space at the ends, which some tokenizers count to a token."""
    while start < end and context[start].isspace():
        start += 1
    while end > start and context[end - 1].isspace():
        end -= 1
    return start, end
