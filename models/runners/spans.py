"""Finding the best spans of a context from the scores of its tokens. No model in here.

The score of a span is its start logit plus its end logit; spans of all windows compete.
Its probability is the product of two softmaxes, over the start and over the end logits
of every token of the context and of "no answer"; a token that several overlapping
windows saw counts once, with its highest logit. For one window that is what
transformers' question-answering pipeline gave.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Logits = NDArray[np.float32]

_FIRST_SPANS = 32  #: of a window that are put in order at first; more are hardly ever asked for


@dataclass(frozen=True, kw_only=True)
class Window:
    """The scores of one window: of its context tokens, and of "no answer"."""

    start: Logits
    end: Logits
    first_token: int  #: the number of its first token in the context
    null_start: float
    null_end: float


@dataclass(frozen=True, kw_only=True)
class Span:
    """An answer; an empty one says that there is none."""

    start: int
    end: int
    probability: float


def best_spans(
    windows: Sequence[Window],
    context: str,
    *,
    characters: Callable[[int, int], tuple[int, int]],
    top_k: int,
    max_answer_tokens: int,
    allow_no_answer: bool,
) -> list[Span]:
    """The best spans with distinct texts, best first; at least one.

    Args:
        windows: with the scores.
        context: what the windows were cut from.
        characters: from and up to which one the tokens from the first to the last named reach.
        top_k: how many.
        max_answer_tokens: the longest span.
        allow_no_answer: whether an empty span competes.
    """
    null = min(windows, key=lambda window: window.null_start + window.null_end)
    starts = [(window.first_token, window.start) for window in windows]
    ends = [(window.first_token, window.end) for window in windows]
    log_total = _log_total(starts, null.null_start) + _log_total(ends, null.null_end)
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
        start, end = _trimmed(context, *characters(first, last))
        text = context[start:end].casefold()
        if text and text not in seen:
            seen.add(text)
            spans.append(Span(start=start, end=end, probability=math.exp(score - log_total)))
    if not spans:  # nothing but white space could be an answer
        spans.append(Span(start=0, end=0, probability=math.exp(null_score - log_total)))
    return spans[:top_k]


def _ranked(windows: Sequence[Window], max_answer_tokens: int) -> Iterator[tuple[float, int, int]]:
    """Every span as (score, first token, last token), best first; ties by position.

    A window is put in order once its best span is the next: of a long context's hundreds, few ever are.
    """
    waiting = [(-_best(window, max_answer_tokens), number) for number, window in enumerate(windows)]
    heapq.heapify(waiting)
    opened: list[tuple[float, int, int, int]] = []
    spans: dict[int, Iterator[tuple[float, int, int]]] = {}
    while waiting or opened:
        while waiting and (not opened or waiting[0][0] <= opened[0][0]):
            _, number = heapq.heappop(waiting)
            spans[number] = _spans_of(windows[number], max_answer_tokens)
            _push(opened, number, spans[number])
        negative, first, last, number = heapq.heappop(opened)
        yield -negative, first, last
        _push(opened, number, spans[number])


def _push(
    opened: list[tuple[float, int, int, int]], number: int, spans: Iterator[tuple[float, int, int]]
) -> None:
    following = next(spans, None)
    if following is not None:
        score, first, last = following
        heapq.heappush(opened, (-score, first, last, number))


def _best(window: Window, max_answer_tokens: int) -> float:
    return float(max(np.max(scores) for scores in _by_length(window, max_answer_tokens)))


def _by_length(window: Window, max_answer_tokens: int) -> Iterator[Logits]:
    """The scores of spans of one token, of two, ...; by their first token."""
    num_tokens = len(window.start)
    for extra in range(min(max_answer_tokens, num_tokens)):
        yield window.start[: num_tokens - extra] + window.end[extra:]


def _spans_of(window: Window, max_answer_tokens: int) -> Iterator[tuple[float, int, int]]:
    lengths = list(_by_length(window, max_answer_tokens))
    score = np.concatenate(lengths)
    first = np.concatenate([np.arange(len(one)) for one in lengths]) + window.first_token
    last = first + np.repeat(np.arange(len(lengths)), [len(one) for one in lengths])
    least = -math.inf
    if len(score) > _FIRST_SPANS:
        least = float(np.partition(score, -_FIRST_SPANS)[-_FIRST_SPANS])
    for chosen in (score >= least, score < least):
        places = np.flatnonzero(chosen)
        for number in places[np.lexsort((last[places], first[places], -score[places]))]:
            yield float(score[number]), int(first[number]), int(last[number])


def _log_total(rows: Sequence[tuple[int, Logits]], null: float) -> float:
    num_tokens = max(first + len(logits) for first, logits in rows)
    best = np.full(num_tokens + 1, -np.inf, dtype=np.float64)
    best[-1] = null
    for first, logits in rows:
        part = best[first : first + len(logits)]
        np.maximum(part, logits, out=part)
    highest = best.max()
    return float(highest + np.log(np.exp(best - highest).sum()))


def _trimmed(context: str, start: int, end: int) -> tuple[int, int]:
    """Without white space at the ends, which some tokenizers count to a token."""
    while start < end and context[start].isspace():
        start += 1
    while end > start and context[end - 1].isspace():
        end -= 1
    return start, end
