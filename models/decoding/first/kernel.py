"""Attention of few queries over the entries they see, compiled for this processor by numba.

A document that decodes has one query a head, or one a beam, and a slot of which much is
empty or other beams' own. torch's kernels read all of it, several times; this reads what
is seen, once. It computes in float32.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from numba import types
from torch import Tensor

from models.decoding.compiled import (
    OPTIONS,
    compiled,
    exp,
    narrow,
    one_at_a_time,
    prefetch_row,
    stored,
    stored_type,
    wide,
)

#: A bias below is meant to hide: the least number is about -3.4e38, in float32 and in bfloat16.
_HIDDEN = np.float32(-1e38)


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor, *, first_slot: int, scaling: float | None
) -> Tensor:
    """As `scaled_dot_product_attention` on the CPU, in float32 or bfloat16.

    Args:
        queries: (slots, heads, queries, size).
        keys: (all slots, heads, capacity, size), without gaps.
        values: as keys.
        bias: (slots, 1 or heads, 1 or queries, entries); what it hides is not read.
        first_slot: where the slots of the queries begin.
        scaling: of the products; None: 1 / sqrt(size).

    Returns:
        As queries; zeros for a query that sees nothing.
    """
    outputs = torch.empty_like(queries, memory_format=torch.contiguous_format)
    scale = np.float32(queries.shape[-1] ** -0.5 if scaling is None else scaling)
    # Without gaps, so that numba compiles for one layout alone; a copy where there are some.
    inputs = [stored(tensor.contiguous()) for tensor in (queries, keys, values, bias)]
    with one_at_a_time():
        _compiled(queries.dtype)(*inputs, first_slot, scale, stored(outputs))
    return outputs


@functools.cache
def _compiled(dtype: torch.dtype) -> Callable[..., None]:
    numbers = stored_type(dtype)
    table = numbers[:, :, :, ::1]
    return compiled(types.void(table, table, table, table, types.int64, types.float32, table), _attend)


def _attend(
    queries: Any, keys: Any, values: Any, bias: Any, first_slot: Any, scaling: Any, outputs: Any
) -> None:
    num_slots, num_heads, num_queries, size = queries.shape
    _, num_bias_heads, num_bias_queries, num_entries = bias.shape
    for task in numba.prange(num_slots * num_heads):
        slot, head = task // num_heads, task % num_heads
        following = min(task + 1, num_slots * num_heads - 1)
        own_keys, own_values = keys[first_slot + slot, head], values[first_slot + slot, head]
        next_keys = keys[first_slot + following // num_heads, following % num_heads]
        query, sums = np.empty(size, np.float32), np.empty(size, np.float32)
        scores, seen = np.empty(num_entries, np.float32), np.empty(num_entries, np.int64)
        for number in range(num_queries):
            num_seen = _find(bias[slot, head % num_bias_heads, number % num_bias_queries], scores, seen)
            if num_seen == 0:
                outputs[slot, head, number] = 0
                continue
            for d in range(size):
                query[d] = wide(queries[slot, head, number, d]) * scaling
            _score(query, own_keys, scores, seen[:num_seen], own_values)
            total = _exponentials(scores[:num_seen])
            _blend(scores, own_values, seen[:num_seen], sums, next_keys)
            for d in range(size):
                outputs[slot, head, number, d] = narrow(sums[d] / total, outputs)


@numba.njit(**OPTIONS)
def _find(bias: Any, scores: Any, seen: Any) -> Any:
    """The entries a query sees, and their bias where their score will be."""
    num_seen = 0
    for entry in range(bias.shape[0]):
        added = wide(bias[entry])
        scores[num_seen], seen[num_seen] = added, entry  # the next one's place, if this is hidden
        num_seen += added > _HIDDEN
    return num_seen


@numba.njit(**OPTIONS)
def _score(query: Any, keys: Any, scores: Any, seen: Any, soon: Any) -> None:
    """Adds the product of the query with the key of each entry seen; of `soon`, the same rows come next."""
    num_whole = len(seen) - len(seen) % 4
    for i in range(0, num_whole, 4):  # four at once: the adders need not wait for one sum
        one, two, three, four = seen[i], seen[i + 1], seen[i + 2], seen[i + 3]
        for entry in (one, two, three, four):
            prefetch_row(soon, entry)
        first, second, third, fourth = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        for d in range(len(query)):
            first += query[d] * wide(keys[one, d])
            second += query[d] * wide(keys[two, d])
            third += query[d] * wide(keys[three, d])
            fourth += query[d] * wide(keys[four, d])
        scores[i] += first
        scores[i + 1] += second
        scores[i + 2] += third
        scores[i + 3] += fourth
    for i in range(num_whole, len(seen)):
        product = np.float32(0)
        for d in range(len(query)):
            product += query[d] * wide(keys[seen[i], d])
        scores[i] += product


@numba.njit(**OPTIONS)
def _exponentials(scores: Any) -> Any:
    """In place, relative to the largest; returns their sum."""
    largest = scores[0]
    for i in range(len(scores)):
        largest = max(largest, scores[i])
    total = np.float32(0)
    for i in range(len(scores)):
        scores[i] = exp(scores[i] - largest)
        total += scores[i]
    return total


@numba.njit(**OPTIONS)
def _blend(weights: Any, values: Any, seen: Any, sums: Any, soon: Any) -> None:
    """The weighted sum of the values seen; of `soon`, the same rows or so come next."""
    sums[:] = np.float32(0)
    num_whole = len(seen) - len(seen) % 4
    for i in range(0, num_whole, 4):  # four at once: a sum is loaded and stored a fourth as often
        one, two, three, four = seen[i], seen[i + 1], seen[i + 2], seen[i + 3]
        for entry in (one, two, three, four):
            prefetch_row(soon, entry)
        for d in range(len(sums)):
            sums[d] += (weights[i] * wide(values[one, d]) + weights[i + 1] * wide(values[two, d])) + (
                weights[i + 2] * wide(values[three, d]) + weights[i + 3] * wide(values[four, d])
            )
    for i in range(num_whole, len(seen)):
        for d in range(len(sums)):
            sums[d] += weights[i] * wide(values[seen[i], d])
