"""Kernels of attention over pages that numba compiles for a CPU."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from numba import types

from models.decoding.compiled import OPTIONS, compiled, exp, narrow, prefetch_row, stored_type, wide
from models.decoding.scheduling import layout
from models.decoding.scheduling.pages import PAGE_TOKENS

NOTHING = np.float32(-1e38)  #: a score below that of any key
_FIRST_PAGE, _PAGE = layout.PAGES, PAGE_TOKENS


@functools.cache
def compiled_begin() -> Callable[..., None]:
    """`_begin`."""
    ints, table, longs = types.int32[::1], types.int32[:, ::1], types.int64[::1]
    number = types.int64
    return compiled(
        types.void(ints, ints, ints, table, ints, longs, longs, types.uint8[:, ::1], number, number, number),
        _begin, parallel=False,
    )  # fmt: skip


def _begin(
    wanted: Any, new_pages: Any, prompt: Any, rows: Any, seats: Any, ids: Any, positions: Any, seen: Any,
    num_rows: Any, num_prompt: Any, nobody: Any,
) -> None:  # fmt: skip
    """Gives rows their new pages and packs the step's tokens: those of the rows, then of the prompts."""
    one = np.float32(1).view(np.int32)
    for t in range(num_rows):
        seat = wanted[t]
        if rows[seat, layout.IS_DONE] != 0:
            seat = nobody
        row = rows[seat]
        if new_pages[t] > 0 and seat != nobody:
            row[_FIRST_PAGE + row[layout.POSITION] // _PAGE] = new_pages[t]
        seats[t] = seat
        ids[t] = row[layout.TOKEN]
        positions[t] = row[layout.POSITION]
        if row[layout.PENALTY] != one:
            seen[seat, ids[t]] = 1
    for t in range(num_prompt):
        seat = prompt[num_prompt + t]
        ids[num_rows + t] = prompt[t]
        positions[num_rows + t] = prompt[2 * num_prompt + t]
        if rows[seat, layout.PENALTY] != one:
            seen[seat, prompt[t]] = 1


@functools.cache
def compiled_store(dtype: torch.dtype) -> Callable[..., None]:
    """`_store` for pages of this type."""
    number = stored_type(dtype)
    return compiled(
        types.void(number[:, :, :, ::1], types.int32[::1], number[:, :, :], types.int64),
        _store,
        parallel=False,
    )


def _store(pool: Any, table: Any, new: Any, start: Any) -> None:
    """Keys or values of a prompt's tokens, (tokens, heads, size), to their places."""
    for t in range(new.shape[0]):
        page, place = table[(start + t) // _PAGE], (start + t) % _PAGE
        for head in range(new.shape[1]):
            put(pool[page, head, place], new[t, head])


@functools.cache
def compiled_decode(dtype: torch.dtype) -> Callable[..., None]:
    """`_decode` for pages of this type."""
    number, f32, i64 = stored_type(dtype), types.float32, types.int64
    new, pool, ints, longs = number[:, :, :], number[:, :, :, ::1], types.int32[::1], types.int64[::1]
    return compiled(
        types.void(
            new, new, new, pool, pool, ints, longs, types.int32[:, ::1], number[:, :, ::1],
            i64, i64, f32, i64, f32, f32[::1], f32[::1],
        ),
        _decode,
    )  # fmt: skip


def _decode(
    queries: Any, new_keys: Any, new_values: Any, keys: Any, values: Any, seats: Any, positions: Any,
    rows: Any, outputs: Any, num_rows: Any, nobody: Any, scale: Any, window: Any, cap: Any, slopes: Any,
    sinks: Any,
) -> None:  # fmt: skip
    """Stores each row's new key and value, then attends to what it sees; a key head is one task."""
    key_heads = keys.shape[1]
    group = queries.shape[1] // key_heads
    for task in numba.prange(num_rows * key_heads):
        row, head = task // key_heads, task % key_heads
        seat, position = seats[row], positions[row]
        if seat == nobody:
            outputs[row, head * group : (head + 1) * group] = 0
            continue
        table = rows[seat, _FIRST_PAGE:]
        page, place = table[position // _PAGE], position % _PAGE
        put(keys[page, head, place], new_keys[row, head])
        put(values[page, head, place], new_values[row, head])
        # Whose keys come next, so that they are loaded while values are added up.
        following = min(task + 1, num_rows * key_heads - 1)
        next_table, next_head = rows[seats[following // key_heads], _FIRST_PAGE:], following % key_heads
        first = max(0, position + 1 - window) if window > 0 else 0
        query, sums = np.empty(keys.shape[3], np.float32), np.empty(values.shape[3], np.float32)
        scores = np.empty(position + 1 - first, np.float32)
        for number in range(head * group, (head + 1) * group):
            for d in range(len(query)):
                query[d] = wide(queries[row, number, d]) * scale
            score(query, keys, values, table, head, first, scores)
            adapt(scores, first, cap, slopes, number)
            total = exponentials(scores, sinks[number] if len(sinks) > 0 else NOTHING)
            blend(scores, values, keys, table, head, next_table, next_head, first, sums)
            for d in range(len(sums)):
                outputs[row, number, d] = narrow(sums[d] / total, outputs)


@numba.njit(**OPTIONS)
def put(target: Any, numbers: Any) -> None:
    """Copies numbers."""
    for d in range(len(target)):
        target[d] = numbers[d]


@numba.njit(**OPTIONS)
def score(query: Any, keys: Any, values: Any, table: Any, head: Any, first: Any, scores: Any) -> None:
    """The product of the query with each key that is seen; the values beside them come next."""
    stop = first + len(scores)
    for number in range(first // _PAGE, (stop + _PAGE - 1) // _PAGE):
        begin = number * _PAGE
        low, high = max(first - begin, 0), min(stop - begin, _PAGE)
        own, soon = keys[table[number], head], values[table[number], head]
        base = begin - first
        num_whole = low + (high - low) // 4 * 4
        for i in range(low, num_whole, 4):  # four at once: the adders need not wait for one sum
            for place in range(i, i + 4):
                prefetch_row(soon, place)
            one, two, three, four = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
            for d in range(len(query)):
                one += query[d] * wide(own[i, d])
                two += query[d] * wide(own[i + 1, d])
                three += query[d] * wide(own[i + 2, d])
                four += query[d] * wide(own[i + 3, d])
            scores[base + i], scores[base + i + 1] = one, two
            scores[base + i + 2], scores[base + i + 3] = three, four
        for i in range(num_whole, high):
            product = np.float32(0)
            for d in range(len(query)):
                product += query[d] * wide(own[i, d])
            scores[base + i] = product


@numba.njit(**OPTIONS)
def adapt(scores: Any, first: Any, cap: Any, slopes: Any, head: Any) -> None:
    """Cap * tanh(score / cap), by the exponential; and what each position adds."""
    if cap > 0:
        for i in range(len(scores)):
            power = exp(np.float32(-2) * abs(scores[i]) / cap)
            soft = cap * (np.float32(1) - power) / (np.float32(1) + power)
            scores[i] = soft if scores[i] >= 0 else -soft if scores[i] < 0 else scores[i]  # NaN stays
    if len(slopes) > 0:
        for i in range(len(scores)):
            scores[i] += slopes[head] * np.float32(first + i)


@numba.njit(**OPTIONS)
def exponentials(scores: Any, sink: Any) -> Any:
    """In place, relative to the largest; returns their sum, with what the sink takes."""
    largest = sink
    for i in range(len(scores)):
        largest = max(largest, scores[i])
    total = exp(sink - largest) if sink > NOTHING else np.float32(0)
    for i in range(len(scores)):
        scores[i] = exp(scores[i] - largest)
        total += scores[i]
    return total


@numba.njit(**OPTIONS)
def blend(
    weights: Any, values: Any, keys: Any, table: Any, head: Any, next_table: Any, next_head: Any, first: Any,
    sums: Any,
) -> None:  # fmt: skip
    """The weighted sum of the values that are seen; as many of `next_table`'s keys come next."""
    sums[:] = np.float32(0)
    stop = first + len(weights)
    for number in range(first // _PAGE, (stop + _PAGE - 1) // _PAGE):
        begin = number * _PAGE
        low, high = max(first - begin, 0), min(stop - begin, _PAGE)
        own, soon = values[table[number], head], keys[next_table[number], next_head]
        base = begin - first
        num_whole = low + (high - low) // 4 * 4
        for i in range(low, num_whole, 4):  # four at once: a sum is loaded and stored a fourth as often
            for place in range(i, i + 4):
                prefetch_row(soon, place)
            one, two = weights[base + i], weights[base + i + 1]
            three, four = weights[base + i + 2], weights[base + i + 3]
            for d in range(len(sums)):
                sums[d] += (one * wide(own[i, d]) + two * wide(own[i + 1, d])) + (
                    three * wide(own[i + 2, d]) + four * wide(own[i + 3, d])
                )
        for i in range(num_whole, high):
            for d in range(len(sums)):
                sums[d] += weights[base + i] * wide(own[i, d])
