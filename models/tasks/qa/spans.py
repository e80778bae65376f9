"""Finding the best spans of a context from the scores of its tokens. No model in here.

The score of a span is its start logit plus its end logit; spans of all windows compete.
Its probability is the product of two softmaxes, over the start and over the end logits
of every token of the context and of "no answer"; a token that several overlapping
windows saw counts once, with its highest logit. For one window that is what
transformers' question-answering pipeline gave.

Of each window only its best spans are kept, at once when it was computed: all spans of a
long context are hundreds of millions, and where words repeat most have equal scores.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Logits = NDArray[np.float32]
Tokens = NDArray[np.int32]

#: Spans looked at for each answer wanted: those of a word's tokens are one answer, as are those of a text
#: that occurs again.
_SPANS_PER_ANSWER = 256
_MOST_SPANS = 4096


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """Spans, the best first; ties by position."""

    score: Logits
    first: Tokens  #: the number of each one's first token in the context
    last: Tokens


@dataclass(frozen=True, kw_only=True)
class Window:
    """The scores of one window: of its context tokens, of "no answer", and its best spans."""

    start: Logits
    end: Logits
    first_token: int  #: the number of its first token in the context
    null_start: float
    null_end: float
    spans: Ranked


@dataclass(frozen=True, kw_only=True)
class Span:
    """An answer; an empty one says that there is none."""

    start: int
    end: int
    probability: float


def num_candidates(top_k: int) -> int:
    """How many spans are looked at for so many answers with distinct texts."""
    return min(_SPANS_PER_ANSWER * top_k, _MOST_SPANS)


def ranked_spans(
    start: Logits, end: Logits, *, first_token: int, max_answer_tokens: int, count: int
) -> Ranked:
    """The best spans of a window.

    Args:
        start: scores of its tokens as an answer's first, shape (tokens,).
        end: as its last.
        first_token: the number of its first token in the context.
        max_answer_tokens: the longest span.
        count: how many at most.
    """
    num_lengths = min(max_answer_tokens, len(start))
    beyond = np.full(num_lengths - 1, -np.inf, dtype=end.dtype)
    ends = sliding_window_view(np.concatenate([end, beyond]), num_lengths)
    score = (start[:, None] + ends).ravel()  # in the order of their places, the beyond among them
    places = _best_places(score, count)
    places = places[np.argsort(-score[places], kind="stable")]
    places = places[score[places] > -np.inf]
    first = (places // num_lengths + first_token).astype(np.int32)
    last = first + (places % num_lengths).astype(np.int32)
    return Ranked(score=score[places], first=first, last=last)


def best_spans(
    windows: Sequence[Window],
    context: str,
    *,
    characters: Callable[[int, int], tuple[int, int]],
    top_k: int,
    allow_no_answer: bool,
) -> list[Span]:
    """The best spans with distinct texts, best first; at least one.

    Args:
        windows: with the scores.
        context: what the windows were cut from.
        characters: from and up to which one the tokens from the first to the last named reach.
        top_k: how many; fewer where the best spans of all windows have fewer texts.
        allow_no_answer: whether an empty span competes.
    """
    null = min(windows, key=lambda window: window.null_start + window.null_end)
    starts = [(window.first_token, window.start) for window in windows]
    ends = [(window.first_token, window.end) for window in windows]
    log_total = _log_total(starts, null.null_start) + _log_total(ends, null.null_end)
    null_score = null.null_start + null.null_end
    spans: list[Span] = []
    seen: set[str] = set()
    places: set[tuple[int, int]] = set()
    has_null = not allow_no_answer
    ranked = _merged([window.spans for window in windows], num_candidates(top_k))
    for score, first, last in zip(
        ranked.score.tolist(), ranked.first.tolist(), ranked.last.tolist(), strict=True
    ):
        if not has_null and null_score > score:
            has_null = True
            spans.append(Span(start=0, end=0, probability=math.exp(null_score - log_total)))
        if len(spans) >= top_k:
            break
        place = characters(first, last)
        if place in places:  # before its text is looked at, which may be long
            continue
        places.add(place)
        start, end = _trimmed(context, *place)
        text = context[start:end].casefold()
        if text and text not in seen:
            seen.add(text)
            spans.append(Span(start=start, end=end, probability=math.exp(score - log_total)))
    if not spans:  # nothing but white space could be an answer
        spans.append(Span(start=0, end=0, probability=math.exp(null_score - log_total)))
    return spans[:top_k]


def _merged(rankings: Sequence[Ranked], count: int) -> Ranked:
    """The best of all windows, which are in the order of their places; ties by position.

    A context of a million characters has a thousand windows, and millions of spans: what cannot be among
    the best is left out of each ranking before they are put together.
    """
    parts = _promising(rankings, count)
    score = np.concatenate([one.score[part] for one, part in zip(rankings, parts, strict=True)])
    first = np.concatenate([one.first[part] for one, part in zip(rankings, parts, strict=True)])
    last = np.concatenate([one.last[part] for one, part in zip(rankings, parts, strict=True)])
    places = np.lexsort((last, first, -score))[:count]
    return Ranked(score=score[places], first=first[places], last=last[places])


def _promising(rankings: Sequence[Ranked], count: int) -> list[slice]:
    """Of each ranking what may be among the best so many of all."""
    bound = _least_of_best(rankings, count)
    parts = []
    num_equal, num_beyond = 0, 0
    for one in rankings:
        ascending = one.score[::-1]
        num_better = len(ascending) - int(np.searchsorted(ascending, bound, side="right"))
        num_reaching = len(ascending) - int(np.searchsorted(ascending, bound, side="left"))
        # Of equal ones those of the first windows count; a window overlaps with its neighbours alone.
        num_beyond += num_equal >= count
        parts.append(slice(num_better if num_beyond > 1 else num_reaching))
        num_equal += num_reaching - num_better
    return parts


def _least_of_best(rankings: Sequence[Ranked], count: int) -> float:
    """A score that the best so many of all reach.

    It is reached where some rankings have, each, their share of them: that is looked at for one ranking,
    two, four and so on.
    """
    least = -np.inf
    num_rankings = 1
    while num_rankings <= len(rankings):
        share = -(-count // num_rankings)
        reached = sorted(
            (float(one.score[share - 1]) for one in rankings if len(one.score) >= share), reverse=True
        )
        if len(reached) >= num_rankings:
            least = max(least, reached[num_rankings - 1])
        num_rankings *= 2
    return least


def _best_places(score: Logits, count: int) -> NDArray[np.int64]:
    """Where the highest scores are, in the order of their places; of equal ones the first."""
    if len(score) <= count:
        return np.arange(len(score))
    least = np.partition(score, -count)[-count]
    above = np.flatnonzero(score > least)
    equal = np.flatnonzero(score == least)[: count - len(above)]
    return np.sort(np.concatenate([above, equal]))


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
