"""The largest scores of a row, compiled by numba for a CPU.

Scores are compared by their bits as integers, whose maximum takes one instruction for several.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

from models.decoding.compiled import wide

#: Divisions stay divisions: at a border a token more or less is another result.
EXACT: dict[str, Any] = {"error_model": "numpy", "nogil": True}
_BLOCK, _SMALLEST_BLOCK = 64, 4  #: tokens whose best is noted, at most and at least
_SCANNED = 128  #: tokens that are gone over at once
LEAST, _MOST, SIGN = np.int32(-(2**31)), np.int32(2**31 - 1), np.int32(0x7FFFFFFF)
INFINITY, _MINUS_INFINITY = np.int32(0x7F800000), np.uint32(0xFF800000)


@numba.njit(inline="always")
def key_of(number: Any) -> Any:
    """A score's bits as an integer that is ordered like it."""
    bits = np.float32(wide(number) + np.float32(0)).view(np.int32)  # -0 is 0
    return bits ^ ((bits >> np.int32(31)) & SIGN)


@numba.njit(**EXACT)
def top_of(scores: Any) -> Any:
    """The largest score; a NaN is not seen, or is the largest.

    Bits of floats that are not negative are ordered like them, those of negative ones the other way
    round: as integers, one instruction takes the largest of several.
    """
    top = LEAST
    for i in range(len(scores)):
        top = max(top, np.float32(wide(scores[i])).view(np.int32))
    if top < 0:  # all are negative
        top = _MOST
        for i in range(len(scores)):
            top = min(top, np.float32(wide(scores[i])).view(np.int32))
    return np.int32(top).view(np.float32)


@numba.njit(**EXACT)
def _checked_top(scores: Any) -> Any:
    """The largest score, and whether any is NaN or plus infinity.

    The same loop again with one instruction more: as two, or with a call in it, it takes half as long again.
    """
    top, widest = LEAST, np.uint32(0)
    for i in range(len(scores)):
        bits = np.float32(wide(scores[i])).view(np.int32)
        top = max(top, bits)
        widest = max(widest, np.uint32(bits))
    if top < 0:
        top = _MOST
        for i in range(len(scores)):
            top = min(top, np.float32(wide(scores[i])).view(np.int32))
    return np.int32(top).view(np.float32), top >= INFINITY or widest > _MINUS_INFINITY


@numba.njit(**EXACT)
def largest(scores: Any) -> Any:
    """Where the largest score is, the first of equals, and whether any is NaN or plus infinity."""
    best, at, is_bad = np.float32(-np.inf), 0, False
    for start in range(0, len(scores), _SCANNED):
        top, is_worse = _checked_top(scores[start : start + _SCANNED])
        is_bad = is_bad or is_worse
        if top > best:
            best, at = top, start
    rest = scores[at:]
    for i in range(len(rest)):
        if wide(rest[i]) == best:
            return np.int32(at + i), is_bad
    return np.int32(0), True


@numba.njit(**EXACT)
def first_of_best(scores: Any) -> Any:
    """Where the largest score is, the first of equals."""
    return largest(scores)[0]


@numba.njit(**EXACT)
def largest_ids(scores: Any, count: Any) -> Any:
    """The tokens with the largest scores, ascending; all that are level with the last of them too."""
    # Twice as many blocks as tokens are wanted, where the vocabulary has them.
    block = min(_BLOCK, max(_SMALLEST_BLOCK, len(scores) // (2 * count)))
    num_blocks = (len(scores) + block - 1) // block
    tops = np.empty(num_blocks, np.int32)
    for number in range(num_blocks):
        own = scores[number * block : (number + 1) * block]  # by places of their own loops are vectorised
        top = LEAST
        for i in range(len(own)):
            top = max(top, key_of(own[i]))
        tops[number] = top
    # As many scores as blocks reach what the `count`-th best block has: whoever is below is not wanted.
    bound = _bound(tops, count) if count <= num_blocks else LEAST
    ids, keys = np.empty(len(scores), np.int32), np.empty(len(scores), np.int32)
    size = 0
    for number in range(num_blocks):
        if tops[number] >= bound:
            first = number * block
            own = scores[first : first + block]
            for i in range(len(own)):
                ids[size], keys[size] = first + i, key_of(own[i])
                size += keys[size] >= bound
    return ids[:size][keys[:size] >= _bound(keys[:size], count)]


@numba.njit(**EXACT)
def _bound(keys: Any, count: Any) -> Any:
    """A number that the `count` largest keys reach, and no others but those level with the last of them.

    By halving: to count those that reach a number takes few instructions, to sort takes many.
    """
    low, high = np.int64(LEAST), np.int64(_MOST) + 1  # all reach the one, none the other
    while high - low > 1:
        middle = (low + high) >> 1
        at_least = np.int32(middle)
        num = 0
        for i in range(len(keys)):
            num += keys[i] >= at_least
        if num == count:
            return at_least
        if num > count:
            low = middle
        else:
            high = middle
    return np.int32(low)
