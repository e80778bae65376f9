"""Pieces of kernels that numba compiles for this processor: numbers as they are stored, e^x, loading ahead.

bfloat16 is the upper half of a float32, so such numbers come and go as bit patterns.
"""

from __future__ import annotations

import hashlib
import logging
import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
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

#: Of e^x for |x| <= ln(2) / 2: its Taylor series, 1 / k!; the next term is below 2e-7.
_C0, _C1, _C2, _C3, _C4, _C5, _C6 = (np.float32(1 / math.factorial(k)) for k in range(7))
_LOG2_E = np.float32(1 / math.log(2.0))
#: ln(2) in two parts: products of the first, which has 16 bits, with exponents are exact.
_LN2 = np.float32(round(math.log(2.0) * 2**16) / 2**16)
_LN2_REST = np.float32(math.log(2.0) - float(_LN2))
_SMALLEST, _EXPONENT_BIAS, _MANTISSA_BITS = np.float32(-126 * math.log(2.0)), np.int32(127), np.int32(23)
#: Added to a small number, it leaves the nearest whole one in the lowest bits: floats of this size are whole.
_TO_WHOLE = np.float32(1.5 * 2**23)
#: Sums may be reordered, or they would be computed one addition at a time. Infinities and NaN stay what
#: they are: a document that has one is found by it.
OPTIONS: dict[str, Any] = {
    "fastmath": {"reassoc", "contract", "nsz", "arcp"}, "error_model": "numpy", "nogil": True,
}  # fmt: skip
_CACHE_LINE_BYTES = 64
_TO_READ, _TO_ALL_CACHES, _OF_DATA = 0, 3, 1  # arguments of LLVM's prefetch
#: numba's own threads, which it takes where it finds no OpenMP, end the process when called by two at once.
_ONE_AT_A_TIME = threading.Lock()


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """A compiled loop may run in parallel, on as many threads as torch has."""
    with _ONE_AT_A_TIME:
        _take_torchs_threads()
        yield


def _take_torchs_threads() -> None:
    """A compiled loop gets as many threads as torch has, and torch keeps them."""
    count = torch.get_num_threads()
    numba.set_num_threads(min(count, config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    # The first such call starts numba's threads, which sets OpenMP's number, torch's too, to all cores.
    if torch.get_num_threads() != count:
        torch.set_num_threads(count)


def stored(tensor: Tensor) -> Any:
    """The same memory as an array; bfloat16 as bit patterns."""
    return tensor.numpy() if tensor.dtype == torch.float32 else tensor.view(torch.uint16).numpy()


def stored_type(dtype: torch.dtype) -> Any:
    """What numba takes such numbers for."""
    return types.float32 if dtype == torch.float32 else types.uint16


def keep_by_code(folder: Path) -> None:
    """Has numba keep what it compiles apart for each state of the code in a folder.

    By itself it looks at the file of the outermost function alone: when a helper or a constant in
    another file changed, it would go on with what it compiled before.
    """
    code = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        code.update(path.read_bytes())
    base = Path(config.CACHE_DIR or folder / "__pycache__")  # type: ignore[attr-defined]
    config.CACHE_DIR = str(base / code.hexdigest()[:16])  # type: ignore[attr-defined]


def compiled(signature: Any, function: Callable[..., Any], *, parallel: bool = True) -> Callable[..., Any]:
    """Takes seconds; what was compiled is kept on disk, and read from there the next time."""
    try:
        return numba.njit(signature, parallel=parallel, cache=True, **OPTIONS)(function)  # type: ignore[no-any-return]
    except Exception as error:  # nowhere to keep it, a full disk, a file cut short by a power failure
        logger.warning("compiled anew", extra={"action": "compiled_anew", "reason": repr(error)})
        return numba.njit(signature, parallel=parallel, **OPTIONS)(function)  # type: ignore[no-any-return]


keep_by_code(Path(__file__).parent)


# Compiled by itself, so that nobody's leave to reorder sums reaches it: rounding is done by a sum here.
@numba.njit(fastmath={"contract"}, error_model="numpy", nogil=True)
def exp(number: Any) -> Any:
    """e^number for numbers up to 0, in float32; unlike `math.exp`, a loop over it is vectorised."""
    if number < _SMALLEST:  # `max` might drop a NaN
        number = _SMALLEST
    shifted = np.float32(number * _LOG2_E + _TO_WHOLE)
    exponent = np.float32(shifted - _TO_WHOLE)
    rest = (number - exponent * _LN2) - exponent * _LN2_REST
    power = _C0 + rest * (_C1 + rest * (_C2 + rest * (_C3 + rest * (_C4 + rest * (_C5 + rest * _C6)))))
    return power * np.int32((shifted.view(np.int32) + _EXPONENT_BIAS) << _MANTISSA_BITS).view(np.float32)


def wide(number: Any) -> Any:
    """The float32 that a stored number stands for."""
    raise NotImplementedError("compiled below, by type")


def narrow(number: Any, like: Any) -> Any:
    """A float32 as it is stored in `like`: as it is, or the nearest bfloat16."""
    raise NotImplementedError("compiled below, by type")


@overload(wide, inline="always", strict=False)
def _wide_by_type(number: Any) -> Any:
    if number == types.uint16:
        return lambda number: np.uint32(np.uint32(number) << np.uint32(16)).view(np.float32)
    return lambda number: number


@overload(narrow, inline="always", strict=False)
def _narrow_by_type(number: Any, like: Any) -> Any:
    return _nearest_bfloat16 if like.dtype == types.uint16 else lambda number, like: number


def _nearest_bfloat16(number: Any, like: Any) -> Any:
    """Of two as near, the even one."""
    bits = np.float32(number).view(np.uint32)
    if number != number:  # rounded up, some NaN would be infinity
        return np.uint16((bits >> np.uint32(16)) | np.uint32(0x40))
    return np.uint16((bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16))


@numba.njit(inline="always")
def prefetch_row(table: Any, row: Any) -> None:
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
