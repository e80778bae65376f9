"""Kernels of the sampler that numba compiles for a CPU.

They do what transformers' processors do with one row, in the same order. Few scores are looked
at closely: those that can be among the `top_k` largest, or hold the mass of `top_p`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from numba import types

from models.decoding.compiled import compiled, exp, stored_type, wide
from models.decoding.sampling.largest import EXACT, first_of_best, largest, largest_ids
from models.decoding.sampling.stream import exponential, seeded, skip, uniform
from models.decoding.scheduling import layout
from models.decoding.scheduling.layout import NOT_FINITE, NOTHING

#: Tokens that are looked at first for a mass of `top_p`; then so many times as many, until they hold it.
_FIRST_TOKENS, _TIMES_AS_MANY = 128, 16
_WORDS = 2  #: of a stream for each token


@functools.cache
def compiled_choose(dtype: torch.dtype) -> Callable[..., None]:
    """`_choose` for scores of this type."""
    i64 = types.int64
    return compiled(
        types.void(
            stored_type(dtype)[:, ::1], types.int32[::1], types.int32[:, ::1], types.uint8[:, ::1],
            types.uint32[:, ::1], types.int32[::1], i64, i64, i64,
        ),
        _choose,
    )  # fmt: skip


def _choose(
    scores: Any, seats: Any, rows: Any, seen: Any, streams: Any, chosen: Any, num_rows: Any, nobody: Any,
    vocabulary: Any,
) -> None:  # fmt: skip
    """The next token of every row, and its new state."""
    for number in numba.prange(num_rows):
        seat = seats[number]
        if seat == nobody:
            chosen[number] = NOTHING
        else:
            own = scores[number, :vocabulary]
            token, is_bad = _next_token(own, rows[seat], seen[seat, :vocabulary], streams[seat])
            chosen[number] = _accept(rows[seat], token, is_bad)


@numba.njit(**EXACT)
def _next_token(scores: Any, row: Any, seen: Any, stream: Any) -> Any:
    """A row's next token, and whether its scores hold NaN or infinity."""
    floats = row.view(np.float32)
    token, is_bad = largest(scores)
    if is_bad:
        return token, True
    has_penalty, is_sampled = floats[layout.PENALTY] != 1, floats[layout.TEMPERATURE] > 0
    if is_sampled or has_penalty or _is_forbidden(row, token):
        own = np.empty(len(scores), np.float32)
        for i in range(len(own)):
            own[i] = wide(scores[i])
        _forbid(own, row)
        if has_penalty:
            _penalise(own, seen, floats[layout.PENALTY])
        token = _drawn(own, row, stream) if is_sampled else first_of_best(own)
    forced = row[layout.FORCED_LAST]
    if forced >= 0 and row[layout.POSITION] + 1 >= row[layout.LAST_POSITION]:
        token = forced
    return token, False


@numba.njit(**EXACT)
def _accept(row: Any, token: Any, is_bad: Any) -> Any:
    """Puts a token into its row; returns what is said of it."""
    is_end = is_bad or row[layout.POSITION] + 1 >= row[layout.LAST_POSITION]
    for place in range(layout.IDS, layout.IDS + layout.NUM_END_IDS):
        is_end = is_end or row[place] == token
    row[layout.TOKEN] = token
    row[layout.POSITION] += 1
    row[layout.IS_DONE] = is_end
    if is_bad:
        return NOT_FINITE
    return -1 - token if is_end else token


# Bans and penalties.


@numba.njit(**EXACT)
def _may_end(row: Any) -> Any:
    return row[layout.POSITION] >= row[layout.MIN_POSITION]


@numba.njit(**EXACT)
def _is_forbidden(row: Any, token: Any) -> Any:
    first = layout.IDS + layout.NUM_END_IDS if _may_end(row) else layout.IDS
    is_off = False
    for place in range(first, layout.PAGES):
        is_off = is_off or row[place] == token
    return is_off


@numba.njit(**EXACT)
def _forbid(scores: Any, row: Any) -> None:
    """Minus infinity for banned tokens, and for those that end below the minimum length."""
    first = layout.IDS + layout.NUM_END_IDS if _may_end(row) else layout.IDS
    for place in range(first, layout.PAGES):
        if 0 <= row[place] < len(scores):
            scores[row[place]] = -np.inf


@numba.njit(**EXACT)
def _penalise(scores: Any, seen: Any, penalty: Any) -> None:
    for i in range(len(scores)):
        if seen[i]:
            scores[i] = scores[i] * penalty if scores[i] < 0 else scores[i] / penalty


# Drawing.


@numba.njit(**EXACT)
def _drawn(scores: Any, row: Any, stream: Any) -> Any:
    """A token of a sampled row; `scores` may be overwritten."""
    floats = row.view(np.float32)
    if row[layout.NUM_DRAWN] == 0:
        seeded(stream, row[layout.SEED_LOW])
    row[layout.NUM_DRAWN] += 1
    temperature, top_p = floats[layout.TEMPERATURE], floats[layout.TOP_P]
    top_k = row[layout.TOP_K] if 0 < row[layout.TOP_K] < len(scores) else len(scores)
    if temperature != 1:
        for i in range(len(scores)):
            scores[i] /= temperature
    if top_k == len(scores) and top_p >= 1:
        return _winner_of_all(scores, stream)
    ids = largest_ids(scores, top_k) if top_k < len(scores) else _with_mass(scores, top_p)
    if top_p < 1 and top_k < len(scores):
        ids = _most_likely(scores, ids, 0.0, top_p)
    return _winner(scores, ids, stream)


@numba.njit(**EXACT)
def _with_mass(scores: Any, share: Any) -> Any:
    """The most likely tokens that hold a share of the mass of all."""
    top = scores[first_of_best(scores)]
    total = 0.0
    for i in range(len(scores)):
        total += exp(scores[i] - top)
    count = _FIRST_TOKENS
    while count < len(scores):
        ids = largest_ids(scores, count)
        held = 0.0
        for i in ids:
            held += exp(scores[i] - top)
        if held > share * total * 1.0001:
            return _most_likely(scores, ids, total - held, share)
        count *= _TIMES_AS_MANY
    return _most_likely(scores, np.arange(len(scores)).astype(np.int32), 0.0, share)


@numba.njit(**EXACT)
def _most_likely(scores: Any, ids: Any, below: Any, share: Any) -> Any:
    """Of these, ascending, those that top-p leaves; `below` is the mass of those left out, by e^-best."""
    order = np.argsort(scores[ids], kind="mergesort")
    top = scores[ids[order[-1]]]
    weights = np.empty(len(ids))
    total = below
    for place, i in enumerate(order):
        weights[place] = math.exp(scores[ids[i]] - top)
        total += weights[place]
    is_kept = np.ones(len(ids), np.bool_)
    mass = below / total
    for place, i in enumerate(order[:-1]):
        mass += weights[place] / total
        if mass > 1 - np.float64(share):
            break
        is_kept[i] = False
    return ids[is_kept]


@numba.njit(**EXACT)
def _winner(scores: Any, ids: Any, stream: Any) -> Any:
    """Of these tokens, ascending, the one that wins the race: the largest weight over its variable."""
    top = np.float32(-np.inf)
    for i in ids:
        top = max(top, scores[i])
    best, token, used = np.float32(-1), ids[0], 0
    for i in ids:
        skip(stream, _WORDS * (i - used))
        used = i + 1
        number, weight = uniform(stream), np.float32(math.exp(scores[i] - top))
        if _may_win(number, weight, best):
            ratio = weight / exponential(number)
            if ratio > best:
                best, token = ratio, i
    skip(stream, _WORDS * (len(scores) - used))
    return token


@numba.njit(inline="always")
def _may_win(number: Any, weight: Any, best: Any) -> Any:
    """Whether a variable must be computed: -log(1 - u) is at least u, which most are too large for."""
    return number <= 1.0001 * weight / max(best, np.float32(1e-30))


@numba.njit(**EXACT)
def _winner_of_all(scores: Any, stream: Any) -> Any:
    """The same of all tokens; a variable is computed only where it may be small enough to win."""
    top = scores[first_of_best(scores)]
    best, token = np.float32(-1), 0
    for i in range(len(scores)):
        number = uniform(stream)
        weight = exp(scores[i] - top)
        if _may_win(number, weight, best):
            ratio = np.float32(math.exp(scores[i] - top)) / exponential(number)
            if ratio > best:
                best, token = ratio, i
    return np.int32(token)
