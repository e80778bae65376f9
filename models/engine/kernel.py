"""Attention of few queries over the entries they see, compiled for this processor by numba.

A document that decodes has one query a head, or one a beam, and a slot of which much is
empty or other beams' own. torch's kernels read all of it, several times; this reads what
is seen, once. It computes in float32; bfloat16 is the upper half of a float32, so such
numbers come and go as bit patterns.
"""

from __future__ import annotations

import functools
import logging
import math
import threading
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic, overload
from torch import Tensor

logger = logging.getLogger(__name__)

#: Of 2^x for -0.5 <= x <= 0.5: its Taylor series, ln(2)^k / k!; the next term is below 2e-7.
_C0, _C1, _C2, _C3, _C4, _C5, _C6 = (np.float32(math.log(2.0) ** k / math.factorial(k)) for k in range(7))
_LOG2_E = np.float32(1 / math.log(2.0))
_SMALLEST_EXPONENT, _EXPONENT_BIAS, _MANTISSA_BITS = np.float32(-126.0), np.int32(127), np.int32(23)
#: A bias below is meant to hide: the least number is about -3.4e38, in float32 and in bfloat16.
_HIDDEN = np.float32(-1e38)
#: Sums may be reordered, or they would be computed one addition at a time. Infinities and NaN stay what
#: they are: a document that has one is found by it.
_OPTIONS: dict[str, Any] = {
    "fastmath": {"reassoc", "contract", "nsz", "arcp"}, "error_model": "numpy", "nogil": True,
}  # fmt: skip
_CACHE_LINE_BYTES = 64
_TO_READ, _TO_ALL_CACHES, _OF_DATA = 0, 3, 1  # arguments of LLVM's prefetch
#: numba's own threads, which it takes where it finds no OpenMP, end the process when called by two at once.
_ONE_AT_A_TIME = threading.Lock()


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
    inputs = [_array(tensor) for tensor in (queries, keys, values, bias)]
    with _ONE_AT_A_TIME:
        numba.set_num_threads(min(torch.get_num_threads(), config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
        _compiled(queries.dtype)(*inputs, first_slot, scale, _array(outputs))
    return outputs


def _array(tensor: Tensor) -> Any:
    """The same memory, so that numba compiles for one layout alone; a copy where it has gaps."""
    tensor = tensor.contiguous()
    return tensor.numpy() if tensor.dtype == torch.float32 else tensor.view(torch.uint16).numpy()


@functools.cache
def _compiled(dtype: torch.dtype) -> Callable[..., None]:
    """Takes seconds; what was compiled is kept on disk, and read from there the next time."""
    numbers = types.float32 if dtype == torch.float32 else types.uint16
    table = numbers[:, :, :, ::1]
    signature = types.void(table, table, table, table, types.int64, types.float32, table)
    try:
        compiled = numba.njit(signature, parallel=True, cache=True, **_OPTIONS)(_attend)
    except Exception as error:  # nowhere to keep it, a full disk, a file cut short by a power failure
        logger.warning("compiled anew", extra={"action": "compiled_anew", "reason": repr(error)})
        compiled = numba.njit(signature, parallel=True, **_OPTIONS)(_attend)
    return compiled


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
                query[d] = _wide(queries[slot, head, number, d]) * scaling
            _score(query, own_keys, scores, seen[:num_seen], own_values)
            total = _exponentials(scores[:num_seen])
            _blend(scores, own_values, seen[:num_seen], sums, next_keys)
            for d in range(size):
                outputs[slot, head, number, d] = _narrow(sums[d] / total, outputs)


@numba.njit(**_OPTIONS)
def _find(bias: Any, scores: Any, seen: Any) -> Any:
    """The entries a query sees, and their bias where their score will be."""
    num_seen = 0
    for entry in range(bias.shape[0]):
        added = _wide(bias[entry])
        scores[num_seen], seen[num_seen] = added, entry  # the next one's place, if this is hidden
        num_seen += added > _HIDDEN
    return num_seen


@numba.njit(**_OPTIONS)
def _score(query: Any, keys: Any, scores: Any, seen: Any, soon: Any) -> None:
    """Adds the product of the query with the key of each entry seen; of `soon`, the same rows come next."""
    num_whole = len(seen) - len(seen) % 4
    for i in range(0, num_whole, 4):  # four at once: the adders need not wait for one sum
        one, two, three, four = seen[i], seen[i + 1], seen[i + 2], seen[i + 3]
        for entry in (one, two, three, four):
            _prefetch_row(soon, entry)
        first, second, third, fourth = np.float32(0), np.float32(0), np.float32(0), np.float32(0)
        for d in range(len(query)):
            first += query[d] * _wide(keys[one, d])
            second += query[d] * _wide(keys[two, d])
            third += query[d] * _wide(keys[three, d])
            fourth += query[d] * _wide(keys[four, d])
        scores[i] += first
        scores[i + 1] += second
        scores[i + 2] += third
        scores[i + 3] += fourth
    for i in range(num_whole, len(seen)):
        product = np.float32(0)
        for d in range(len(query)):
            product += query[d] * _wide(keys[seen[i], d])
        scores[i] += product


@numba.njit(**_OPTIONS)
def _exponentials(scores: Any) -> Any:
    """In place, relative to the largest; returns their sum."""
    largest = scores[0]
    for i in range(len(scores)):
        largest = max(largest, scores[i])
    total = np.float32(0)
    for i in range(len(scores)):
        scores[i] = _exp(scores[i] - largest)
        total += scores[i]
    return total


@numba.njit(**_OPTIONS)
def _blend(weights: Any, values: Any, seen: Any, sums: Any, soon: Any) -> None:
    """The weighted sum of the values seen; of `soon`, the same rows or so come next."""
    sums[:] = np.float32(0)
    num_whole = len(seen) - len(seen) % 4
    for i in range(0, num_whole, 4):  # four at once: a sum is loaded and stored a fourth as often
        one, two, three, four = seen[i], seen[i + 1], seen[i + 2], seen[i + 3]
        for entry in (one, two, three, four):
            _prefetch_row(soon, entry)
        for d in range(len(sums)):
            sums[d] += (weights[i] * _wide(values[one, d]) + weights[i + 1] * _wide(values[two, d])) + (
                weights[i + 2] * _wide(values[three, d]) + weights[i + 3] * _wide(values[four, d])
            )
    for i in range(num_whole, len(seen)):
        for d in range(len(sums)):
            sums[d] += weights[i] * _wide(values[seen[i], d])


@numba.njit(inline="always")
def _exp(number: Any) -> Any:
    """e^number for numbers up to 0, in float32; unlike `math.exp`, a loop over it is vectorised."""
    exponent = number * _LOG2_E
    if exponent < _SMALLEST_EXPONENT:  # `max` might drop a NaN
        exponent = _SMALLEST_EXPONENT
    whole = np.int32(math.floor(exponent + np.float32(0.5)))
    rest = exponent - np.float32(whole)
    power = _C0 + rest * (_C1 + rest * (_C2 + rest * (_C3 + rest * (_C4 + rest * (_C5 + rest * _C6)))))
    return power * np.int32((whole + _EXPONENT_BIAS) << _MANTISSA_BITS).view(np.float32)


def _wide(number: Any) -> Any:
    """The float32 that a stored number stands for."""
    raise NotImplementedError("compiled below, by type")


def _narrow(number: Any, like: Any) -> Any:
    """A float32 as it is stored in `like`: as it is, or the nearest bfloat16."""
    raise NotImplementedError("compiled below, by type")


@overload(_wide, inline="always", strict=False)
def _wide_by_type(number: Any) -> Any:
    if number == types.uint16:
        return lambda number: np.uint32(np.uint32(number) << np.uint32(16)).view(np.float32)
    return lambda number: number


@overload(_narrow, inline="always", strict=False)
def _narrow_by_type(number: Any, like: Any) -> Any:
    return _nearest_bfloat16 if like.dtype == types.uint16 else lambda number, like: number


def _nearest_bfloat16(number: Any, like: Any) -> Any:
    """Of two as near, the even one."""
    bits = np.float32(number).view(np.uint32)
    if number != number:  # rounded up, some NaN would be infinity
        return np.uint16((bits >> np.uint32(16)) | np.uint32(0x40))
    return np.uint16((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))


@numba.njit(inline="always")
def _prefetch_row(table: Any, row: Any) -> None:
    """Begins to load a row of a table without gaps.

    The processor foresees what follows in memory, but keys and values lie in hundreds of short
    pieces: waiting for the first lines of each took half of the time.
    """
    for column in range(0, table.shape[1], _CACHE_LINE_BYTES // table.itemsize):
        _prefetch(table, row, column)  # type: ignore[call-arg]  # what it is compiled with comes before


@intrinsic
def _prefetch(typing_context: Any, table: Any, row: Any, column: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        pointer = cgutils.get_item_pointer(context, builder, signature.args[0], array, list(arguments[1:]))
        pointer = builder.bitcast(pointer, cgutils.voidptr_t)
        number = ir.IntType(32)
        function_type = ir.FunctionType(ir.VoidType(), [pointer.type, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [pointer.type], function_type)
        builder.call(function, [pointer, number(_TO_READ), number(_TO_ALL_CACHES), number(_OF_DATA)])
        return context.get_dummy_value()

    return types.void(table, row, column), generate
