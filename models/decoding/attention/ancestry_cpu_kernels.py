"""Kernels of attention over the pages of groups that numba compiles for a CPU.

All beams of a document are one task for each key head: most of what they see was written by the
same ancestors, and is read from the cache of the processor after the first of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from numba import types

from models.decoding.attention import cpu_kernels
from models.decoding.attention.cpu_kernels import NOTHING, adapt, exponentials, put
from models.decoding.compiled import OPTIONS, compiled, narrow, prefetch_row, stored_type, wide
from models.decoding.scheduling import group_layout, layout
from models.decoding.scheduling.pages import PAGE_TOKENS

_FIRST_PAGE, _PAGE = layout.PAGES, PAGE_TOKENS


@functools.cache
def compiled_trace() -> Callable[..., None]:
    """`_trace`."""
    ints, table, number = types.int32[::1], types.int32[:, ::1], types.int64
    return compiled(
        types.void(ints, types.int64[::1], table, types.int16[:, :, ::1], number, number, table),
        _trace, parallel=False,
    )  # fmt: skip


def _trace(
    seats: Any, positions: Any, rows: Any, ancestry: Any, num_rows: Any, nobody: Any, cells: Any
) -> None:
    """Where each row's keys are, (rows, places): page * positions of a page + position in it."""
    for t in range(num_rows):
        seat, position = seats[t], positions[t]
        if seat == nobody:
            continue
        writers = ancestry[position % 2, seat]
        for place in range(position):
            page = rows[writers[place], _FIRST_PAGE + place // _PAGE]
            cells[t, place] = page * _PAGE + place % _PAGE
        cells[t, position] = rows[seat, _FIRST_PAGE + position // _PAGE] * _PAGE + position % _PAGE


@functools.cache
def compiled_decode(dtype: torch.dtype) -> Callable[..., None]:
    """`_decode` for pages of this type."""
    number, f32, i64 = stored_type(dtype), types.float32, types.int64
    new, pool, ints, longs = number[:, :, :], number[:, ::1], types.int32[::1], types.int64[::1]
    return compiled(
        types.void(
            new, new, new, pool, pool, ints, longs, types.int32[:, ::1], types.int32[:, ::1], new,
            number[:, :, ::1], i64, i64, i64, f32, i64, f32, f32[::1], f32[::1],
        ),
        _decode,
    )  # fmt: skip


def _decode(
    queries: Any, new_keys: Any, new_values: Any, keys: Any, values: Any, seats: Any, positions: Any,
    rows: Any, cells: Any, bias: Any, outputs: Any, num_rows: Any, nobody: Any, own: Any, scale: Any,
    window: Any, cap: Any, slopes: Any, sinks: Any,
) -> None:  # fmt: skip
    """Stores each row's new key and value, then attends to what its ancestors wrote.

    `keys` and `values` are (pages * heads * positions, size); `own` is the first column of groups.
    """
    key_heads = new_keys.shape[1]
    group = queries.shape[1] // key_heads
    for task in numba.prange(num_rows * key_heads):
        leader, head = task // key_heads, task % key_heads
        seat = seats[leader]
        if not _leads(seat, rows, outputs[leader, head * group : (head + 1) * group], nobody, own):
            continue
        position = positions[leader]
        first = max(0, position + 1 - window) if window > 0 else 0
        query, sums = np.empty(keys.shape[1], np.float32), np.empty(values.shape[1], np.float32)
        scores, seen = np.empty(position + 1 - first, np.float32), np.empty(position + 1 - first, np.int64)
        for row in range(leader, leader + rows[seat, own + group_layout.WIDTH]):
            _find(cells[row, first : position + 1], key_heads, head, seen)
            put(keys[seen[-1]], new_keys[row, head])
            put(values[seen[-1]], new_values[row, head])
            for number in range(head * group, (head + 1) * group):
                for d in range(len(query)):
                    query[d] = wide(queries[row, number, d]) * scale
                _score(query, keys, seen, values, scores)
                adapt(scores, first, cap, slopes, number)
                _add(bias, number, row, first, scores)
                total = exponentials(scores, sinks[number] if len(sinks) > 0 else NOTHING)
                _blend(scores, values, seen, keys, (head + 1 < key_heads) * _PAGE, sums)
                for d in range(len(sums)):
                    outputs[row, number, d] = narrow(sums[d] / total, outputs)


@numba.njit(**OPTIONS)
def _leads(seat: Any, rows: Any, outputs: Any, nobody: Any, own: Any) -> Any:
    """Whether a row computes for all beams of its document; what nobody asks for is zero."""
    if seat == nobody:
        outputs[:] = 0
        return False
    return rows[seat, own + group_layout.BEAM] == 0


@functools.cache
def compiled_source(dtype: torch.dtype) -> Callable[..., None]:
    """`_source` for pages of this type."""
    number, i64 = stored_type(dtype), types.int64
    pool = number[:, :, :, ::1]
    return compiled(
        types.void(
            number[:, :, :], pool, pool, types.int32[::1], types.int32[:, ::1], number[:, :, ::1],
            i64, i64, i64, types.float32,
        ),
        _source,
    )  # fmt: skip


def _source(
    queries: Any, keys: Any, values: Any, seats: Any, rows: Any, outputs: Any, num_rows: Any, nobody: Any,
    own: Any, scale: Any,
) -> None:  # fmt: skip
    """Attention of all beams of a document over its source; `own` is the first column of groups."""
    key_heads = keys.shape[1]
    group = queries.shape[1] // key_heads
    for task in numba.prange(num_rows * key_heads):
        leader, head = task // key_heads, task % key_heads
        seat = seats[leader]
        if not _leads(seat, rows, outputs[leader, head * group : (head + 1) * group], nobody, own):
            continue
        table = rows[seat, own + group_layout.SOURCE_PAGES :]
        soon = min(head + 1, key_heads - 1)
        query, sums = np.empty(keys.shape[3], np.float32), np.empty(values.shape[3], np.float32)
        scores = np.empty(rows[seat, own + group_layout.SOURCE_LENGTH], np.float32)
        for row in range(leader, leader + rows[seat, own + group_layout.WIDTH]):
            for number in range(head * group, (head + 1) * group):
                for d in range(len(query)):
                    query[d] = wide(queries[row, number, d]) * scale
                cpu_kernels.score(query, keys, values, table, head, 0, scores)
                total = exponentials(scores, NOTHING)
                cpu_kernels.blend(scores, values, keys, table, head, table, soon, 0, sums)
                for d in range(len(sums)):
                    outputs[row, number, d] = narrow(sums[d] / total, outputs)


@numba.njit(**OPTIONS)
def _find(cells: Any, key_heads: Any, head: Any, seen: Any) -> None:
    """Rows of keys and values of one head."""
    for i in range(len(seen)):
        cell = np.int64(cells[i])
        seen[i] = (cell // _PAGE * key_heads + head) * _PAGE + cell % _PAGE


@numba.njit(**OPTIONS)
def _add(bias: Any, head: Any, row: Any, first: Any, scores: Any) -> None:
    """What a model adds to scores, (heads, rows, places); nothing if that is empty."""
    if bias.shape[0] > 0:
        for i in range(len(scores)):
            scores[i] += wide(bias[head, row, first + i])


@numba.njit(**OPTIONS)
def _score(query: Any, keys: Any, seen: Any, soon: Any, scores: Any) -> None:
    """The product of the query with each key that is seen; the same rows of `soon` come next."""
    num_whole = len(seen) - len(seen) % 4
    for i in range(0, num_whole, 4):  # four at once: the adders need not wait for one sum
        one, two, three, four = seen[i], seen[i + 1], seen[i + 2], seen[i + 3]
        for row in (one, two, three, four):
            prefetch_row(soon, row)
        first, second, third, fourth = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        for d in range(len(query)):
            first += query[d] * wide(keys[one, d])
            second += query[d] * wide(keys[two, d])
            third += query[d] * wide(keys[three, d])
            fourth += query[d] * wide(keys[four, d])
        scores[i], scores[i + 1], scores[i + 2], scores[i + 3] = first, second, third, fourth
    for i in range(num_whole, len(seen)):
        product = np.float32(0)
        for d in range(len(query)):
            product += query[d] * wide(keys[seen[i], d])
        scores[i] = product


@numba.njit(**OPTIONS)
def _blend(weights: Any, values: Any, seen: Any, keys: Any, further: Any, sums: Any) -> None:
    """The weighted sum of the values that are seen; the keys so many rows further come next."""
    sums[:] = np.float32(0)
    num_whole = len(seen) - len(seen) % 4
    for i in range(0, num_whole, 4):  # four at once: a sum is loaded and stored a fourth as often
        one, two, three, four = seen[i], seen[i + 1], seen[i + 2], seen[i + 3]
        for row in (one, two, three, four):
            prefetch_row(keys, row + further)
        for d in range(len(sums)):
            sums[d] += (weights[i] * wide(values[one, d]) + weights[i + 1] * wide(values[two, d])) + (
                weights[i + 2] * wide(values[three, d]) + weights[i + 3] * wide(values[four, d])
            )
    for i in range(num_whole, len(seen)):
        for d in range(len(sums)):
            sums[d] += weights[i] * wide(values[seen[i], d])
