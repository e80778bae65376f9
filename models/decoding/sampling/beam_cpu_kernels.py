"""Kernels of beam search that numba compiles for a CPU: the best tokens of each row, then each search.

One step of transformers' `_beam_search` (5.24), as `beams` says it in torch; scores in float32 as there.
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

from models.decoding.compiled import OPTIONS, compiled, exp, narrow, stored_type, wide
from models.decoding.sampling.largest import EXACT, top_of
from models.decoding.scheduling import group_layout as columns
from models.decoding.scheduling import layout
from models.decoding.scheduling.layout import NOT_FINITE, NOTHING

_BLOCK = 64  #: tokens whose largest score is noted
_NEVER = np.float32(columns.NEVER)


# The best tokens of a row.


@functools.cache
def compiled_best(dtype: torch.dtype) -> Callable[..., None]:
    """`_best` for scores of this type."""
    i64 = types.int64
    return compiled(
        types.void(
            stored_type(dtype)[:, ::1], types.int32[::1], types.int32[:, ::1], types.float32[:, ::1],
            types.int32[:, ::1], i64, i64, i64, i64,
        ),
        _best,
    )  # fmt: skip


def _best(
    scores: Any, seats: Any, rows: Any, logs: Any, tokens: Any, num_rows: Any, nobody: Any, vocabulary: Any,
    own: Any,
) -> None:  # fmt: skip
    """Of each row, its candidates: (rows, candidates) log probabilities, best first, and their tokens.

    A row whose scores hold NaN or plus infinity has NaN first. Scores are overwritten where a token
    is forbidden. `own` is the first column of groups.
    """
    for number in numba.prange(num_rows):
        if seats[number] == nobody:
            continue
        row = rows[seats[number]]
        count = row[own + columns.NUM_CANDIDATES]
        mine, ids = logs[number, :count], tokens[number, :count]
        mine[:] = np.float32(-np.inf)
        ids[:] = 0
        forced = _forced(row, own)
        if forced >= 0:
            mine[0], ids[0] = np.float32(0), forced
        else:
            _largest(scores[number, :vocabulary], row, mine, ids)


@numba.njit(**EXACT)
def _forced(row: Any, own: Any) -> Any:
    """The token that is certain; -1: none is."""
    if row[layout.FORCED_LAST] >= 0 and row[layout.POSITION] + 1 >= row[layout.LAST_POSITION]:
        return row[layout.FORCED_LAST]
    if row[layout.POSITION] == row[own + columns.FIRST_POSITION]:
        return row[own + columns.FORCED_FIRST]
    return np.int32(-1)


@numba.njit(**EXACT)
def _largest(scores: Any, row: Any, mine: Any, ids: Any) -> None:
    """The largest log probabilities, of equals the first token."""
    tops, largest = np.empty((len(scores) + _BLOCK - 1) // _BLOCK, np.float32), np.float32(-np.inf)
    for block in range(len(tops)):
        tops[block] = top_of(scores[block * _BLOCK : (block + 1) * _BLOCK])
        largest = max(largest, tops[block])
    mass = _mass(scores, largest)
    if not (-np.inf < largest < np.inf and mass > 0):  # NaN, or nothing at all is possible
        mine[0] = np.float32(np.nan)
        return
    total = np.float32(math.log(mass))
    _forbid(scores, row, tops)
    bound = _bound(tops, mine, ids)
    size, reaching = 0, np.empty(_BLOCK, np.int32)
    for block in range(len(tops)):
        if tops[block] >= bound:
            own = scores[block * _BLOCK : (block + 1) * _BLOCK]
            for i in reaching[: _reach(own, bound, reaching)]:
                if size < len(mine) or wide(own[i]) > mine[-1]:
                    size = _insert(mine, ids, size, wide(own[i]), block * _BLOCK + i)
    for i in range(size):
        mine[i] = np.float32(mine[i] - largest) - total


@numba.njit(**EXACT)
def _bound(tops: Any, best: Any, ids: Any) -> Any:
    """What the tops of as many blocks reach as candidates are wanted: whoever is below is none.

    `best` and `ids` are overwritten.
    """
    size = 0
    for block in range(len(tops)):
        if size < len(best) or tops[block] > best[-1]:
            size = _insert(best, ids, size, tops[block], block)
    return best[-1] if size == len(best) else np.float32(-np.inf)


@numba.njit(**EXACT)
def _reach(scores: Any, bound: Any, reaching: Any) -> Any:
    """Writes the places of those that reach a bound, without a branch for each; how many there are."""
    size = 0
    for i in range(len(scores)):
        reaching[size] = i
        size += wide(scores[i]) >= bound
    return size


@numba.njit(**OPTIONS)
def _mass(scores: Any, largest: Any) -> Any:
    """The sum of the exponentials of all scores, relative to the largest."""
    total = np.float64(0)
    for start in range(0, len(scores), 16 * _BLOCK):
        part = np.float32(0)
        own = scores[start : start + 16 * _BLOCK]  # by places of its own the loop is vectorised
        for i in range(len(own)):
            part += exp(np.float32(wide(own[i]) - largest))
        total += part
    return total


@numba.njit(**EXACT)
def _forbid(scores: Any, row: Any, tops: Any) -> None:
    """Minus infinity for banned tokens, and for those that end below the minimum length."""
    may_end = row[layout.POSITION] >= row[layout.MIN_POSITION]
    for place in range(layout.IDS + layout.NUM_END_IDS if may_end else layout.IDS, layout.PAGES):
        token = row[place]
        if 0 <= token < len(scores):
            scores[token] = narrow(np.float32(-np.inf), scores)
            block = token // _BLOCK
            tops[block] = top_of(scores[block * _BLOCK : (block + 1) * _BLOCK])


@numba.njit(**EXACT)
def _insert(best: Any, ids: Any, size: Any, score: Any, token: Any) -> Any:
    """Puts a candidate behind those that are as good, and drops the last of too many; how many there are."""
    place = min(size, len(best) - 1)
    while place > 0 and best[place - 1] < score:
        best[place], ids[place] = best[place - 1], ids[place - 1]
        place -= 1
    best[place], ids[place] = score, token
    return min(size + 1, len(best))


# Searches.


@functools.cache
def compiled_search() -> Callable[..., None]:
    """`_search`."""
    i64, ints, table = types.int64, types.int32[::1], types.int32[:, ::1]
    return compiled(
        types.void(
            types.float32[:, ::1], table, ints, table, types.int16[:, :, ::1], table, i64, i64, i64
        ),
        _search, parallel=False,
    )  # fmt: skip


def _search(
    logs: Any, tokens: Any, seats: Any, rows: Any, ancestry: Any, said: Any, num_rows: Any, nobody: Any,
    own: Any,
) -> None:  # fmt: skip
    """The beams of all groups that go on and what is finished, into the rows and what is said of each."""
    for first in range(num_rows):
        seat = seats[first]
        if seat == nobody:
            said[first] = 0
            said[first, columns.SAID_TOKEN] = NOTHING
        elif rows[seat, own + columns.BEAM] == 0:
            members = seats[first : first + rows[seat, own + columns.WIDTH]]
            last = first + len(members)
            _step(logs[first:last], tokens[first:last], members, rows, ancestry, said[first:last], own)


@numba.njit(**EXACT)
def _step(logs: Any, tokens: Any, members: Any, rows: Any, ancestry: Any, said: Any, own: Any) -> None:
    """One search."""
    leader, width = rows[members[0]], len(members)
    count, length = leader[own + columns.NUM_CANDIDATES], _length(leader, own)
    scores, beams, ids = np.empty(count, np.float32), np.zeros(count, np.int32), np.zeros(count, np.int32)
    is_bad = _merge(logs, tokens, members, rows, own, scores, beams, ids)
    has_ended = np.zeros(count, np.bool_)
    for i in range(count):
        has_ended[i] = _ends(leader, ids[i])
    kept = _finish(members, rows, own, scores, beams, ids, has_ended)
    running = _going_on(has_ended, width)
    best = _NEVER if has_ended[running[0]] else scores[running[0]]
    is_done = is_bad or has_ended.all() or _is_over(leader, own, kept, best)
    for beam in range(width):
        _inherit(ancestry, leader[layout.POSITION], members[beam], members[beams[running[beam]]])
    for beam in range(width):
        i, row = running[beam], rows[members[beam]]
        row[layout.TOKEN] = ids[i]
        row[layout.POSITION] += 1
        row[layout.IS_DONE] = is_done
        row[own + columns.SCORE] = _bits(_NEVER if has_ended[i] else scores[i])
        row[own + columns.FINISHED_SCORE : own + columns.FINISHED_TOKEN + 1] = kept[beam]
        said[beam, columns.SAID_TOKEN] = NOT_FINITE if is_bad else ids[i]
        said[beam, columns.SAID_PARENT] = beams[i]
        said[beam, columns.SAID_LENGTH] = length
        said[beam, columns.SAID_DONE] = is_done and beam == 0
        said[beam, columns.SAID_FINISHED :] = kept[beam]


@numba.njit(**EXACT)
def _float(row: Any, column: Any) -> Any:
    """A number that is kept by its bits."""
    return np.int32(row[column]).view(np.float32)


@numba.njit(**EXACT)
def _bits(number: Any) -> Any:
    """The other way round."""
    return np.float32(number).view(np.int32)


@numba.njit(**EXACT)
def _length(leader: Any, own: Any) -> Any:
    """New tokens, the one that is chosen included."""
    return leader[layout.POSITION] - leader[own + columns.FIRST_POSITION] + 1


@numba.njit(**EXACT)
def _penalty(leader: Any, own: Any, length: Any) -> Any:
    """What the scores of sequences of this length are divided by."""
    exponent = np.float64(_float(leader, own + columns.LENGTH_PENALTY))
    return np.float32(np.float64(length) ** exponent)


@numba.njit(**EXACT)
def _ends(leader: Any, token: Any) -> Any:
    """Whether a sequence ends with this token."""
    is_end = leader[layout.POSITION] + 1 >= leader[layout.LAST_POSITION]
    for place in range(layout.IDS, layout.IDS + layout.NUM_END_IDS):
        is_end = is_end or leader[place] == token
    return is_end


@numba.njit(**EXACT)
def _merge(
    logs: Any, tokens: Any, members: Any, rows: Any, own: Any, scores: Any, beams: Any, ids: Any
) -> Any:
    """The best candidates of all beams, of equals the first beam's; whether a score is no number."""
    scores[:] = np.float32(-np.inf)
    order, size, is_bad = np.zeros(len(scores), np.int32), 0, False
    for beam in range(len(members)):
        row = rows[members[beam]]
        before = _float(row, own + columns.SCORE)
        is_bad = is_bad or logs[beam, 0] != logs[beam, 0]
        for i in range(len(scores)):
            score = np.float32(logs[beam, i] + before)
            if size == len(scores) and not score > scores[-1]:
                break  # those behind are no better
            size = _insert(scores, order, size, score, beam * len(scores) + i)
    for i in range(size):
        beams[i] = order[i] // len(scores)
        ids[i] = tokens[beams[i], order[i] % len(scores)]
    return is_bad


@numba.njit(**EXACT)
def _finish(members: Any, rows: Any, own: Any, scores: Any, beams: Any, ids: Any, has_ended: Any) -> Any:
    """What each row keeps of a finished sequence, best first: (beams, columns).

    Only as many candidates as there are beams may finish; the others are there so that enough go on.
    """
    leader, width = rows[members[0]], len(members)
    best, order = np.full(width, -np.inf, np.float32), np.zeros(width, np.int32)
    found = np.zeros((2 * width, 4), np.int32)
    size, num_full = 0, 0
    for beam in range(width):
        found[beam] = rows[members[beam], own + columns.FINISHED_SCORE : own + columns.FINISHED_TOKEN + 1]
        is_there = found[beam, 1] > 0
        num_full += is_there
        score = _float(found[beam], 0) if is_there else np.float32(-np.inf)
        found[beam, 0] = _bits(score)
        size = _insert(best, order, size, score, beam)
    if not (num_full == width and leader[own + columns.EARLY] == 1):
        length = _length(leader, own)
        penalty = _penalty(leader, own, length)
        for i in range(min(width, len(scores))):
            score = np.float32(scores[i] / penalty)
            if has_ended[i] and score > best[-1]:
                found[width + i, 0], found[width + i, 1] = _bits(score), length
                found[width + i, 2], found[width + i, 3] = beams[i], ids[i]
                size = _insert(best, order, size, score, width + i)
    return found[order]


@numba.njit(**EXACT)
def _going_on(has_ended: Any, width: Any) -> Any:
    """Which candidates go on: the best that have not ended; when too few are left, ended ones fill up."""
    chosen, size = np.zeros(width, np.int64), 0
    for wanted in (False, True):
        for i in range(len(has_ended)):
            if size < width and has_ended[i] == wanted:
                chosen[size] = i
                size += 1
    return chosen


@numba.njit(**EXACT)
def _is_over(leader: Any, own: Any, kept: Any, best: Any) -> Any:
    """Whether enough is finished that a search ends: transformers' rule of thumb."""
    if not (kept[:, 1] > 0).all():
        return False
    early = leader[own + columns.EARLY]
    if early == 1:
        return True
    exponent = _float(leader, own + columns.LENGTH_PENALTY)
    length = _length(leader, own)
    if early == 2 and exponent > 0:
        length = leader[layout.LAST_POSITION] - leader[own + columns.FIRST_POSITION]
    worst = _float(kept[-1], 0)
    return not best / _penalty(leader, own, length) > worst


@numba.njit(**EXACT)
def _inherit(ancestry: Any, position: Any, seat: Any, parent: Any) -> None:
    """A row sees what its parent saw, and what its parent wrote at this position."""
    heir = ancestry[(position + 1) % 2, seat]
    heir[:position] = ancestry[position % 2, parent, :position]
    heir[position] = parent
