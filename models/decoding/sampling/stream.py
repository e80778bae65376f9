"""The random numbers that torch draws from on a CPU, as many streams beside each other as there are rows.

torch's generator is the Mersenne Twister (MT19937, Matsumoto and Nishimura 1998), seeded by the
low half of a seed. `multinomial` draws an exponential variable for every token of the vocabulary,
from two words each. Here the twister goes on as far, and a variable is computed only where it is
wanted, so that a document with a seed gets the tokens that `generate` gives it.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numba
import numpy as np
import torch

_SIZE, _SHIFT = 624, 397
_MATRIX, _UPPER, _LOWER = np.uint32(0x9908B0DF), np.uint32(0x80000000), np.uint32(0x7FFFFFFF)
_SEEDING = np.uint32(1812433253)
_TEMPER_B, _TEMPER_C = np.uint32(0x9D2C5680), np.uint32(0xEFC60000)
#: Of a stream: the twister's state, and how many of its words are used up.
STREAM_WORDS = _SIZE + 1
_EXACT_BITS = np.uint64((1 << 53) - 1)


@numba.njit(nogil=True)
def seeded(stream: Any, seed: Any) -> None:
    """Begins a stream, as `torch.Generator.manual_seed`."""
    stream[0] = np.uint32(seed)
    for i in range(1, _SIZE):
        before = stream[i - 1]
        stream[i] = _SEEDING * (before ^ (before >> np.uint32(30))) + np.uint32(i)
    stream[_SIZE] = _SIZE


@numba.njit(nogil=True)
def _twist(stream: Any) -> None:
    """The next 624 words."""
    for i in range(_SIZE - _SHIFT):
        stream[i] = stream[i + _SHIFT] ^ _twisted(stream[i], stream[i + 1])
    for i in range(_SIZE - _SHIFT, _SIZE - 1):
        stream[i] = stream[i + _SHIFT - _SIZE] ^ _twisted(stream[i], stream[i + 1])
    stream[_SIZE - 1] = stream[_SHIFT - 1] ^ _twisted(stream[_SIZE - 1], stream[0])


@numba.njit(nogil=True, inline="always")
def _twisted(one: Any, following: Any) -> Any:
    joined = (one & _UPPER) | (following & _LOWER)
    return (joined >> np.uint32(1)) ^ (np.uint32(0) - (following & np.uint32(1)) & _MATRIX)


@numba.njit(nogil=True)
def skip(stream: Any, count: Any) -> None:
    """Goes on by so many words."""
    used = np.int64(stream[_SIZE]) + count
    while used > _SIZE:
        _twist(stream)
        used -= _SIZE
    stream[_SIZE] = np.uint32(used)


@numba.njit(nogil=True)
def _word(stream: Any) -> Any:
    if stream[_SIZE] >= _SIZE:
        _twist(stream)
        stream[_SIZE] = np.uint32(0)
    word = stream[stream[_SIZE]]
    stream[_SIZE] += np.uint32(1)
    word ^= word >> np.uint32(11)
    word ^= (word << np.uint32(7)) & _TEMPER_B
    word ^= (word << np.uint32(15)) & _TEMPER_C
    return word ^ (word >> np.uint32(18))


@numba.njit(nogil=True)
def uniform(stream: Any) -> Any:
    """The next number from 0 to 1, with 53 bits."""
    high = np.uint64(_word(stream))
    return np.float64(((high << np.uint64(32)) | np.uint64(_word(stream))) & _EXACT_BITS) * 2.0**-53


@numba.njit(nogil=True)
def exponential(number: Any) -> Any:
    """The exponential variable of a number from 0 to 1."""
    return np.float32(-math.log1p(-number))


@functools.cache
def is_torchs() -> bool:
    """Whether this torch draws as is said above: another build may have another way."""
    stream = np.zeros(STREAM_WORDS, np.uint32)
    for seed in (0, 12345, 2**40 + 7):
        generator = torch.Generator().manual_seed(seed)
        seeded(stream, seed & 0xFFFFFFFF)
        wanted = torch.empty(700).exponential_(generator=generator).tolist()
        if [float(exponential(uniform(stream))) for _ in range(700)] != wanted:
            return False
    return True
