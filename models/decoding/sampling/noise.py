"""The random numbers of the sampler, in plain torch: Philox 4x32 with ten rounds, as Triton has it."""

from __future__ import annotations

import torch
from torch import Tensor

_LOW = 0xFFFFFFFF
_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_KEY_STEPS = (0x9E3779B9, 0xBB67AE85)
_ROUNDS = 10


def noise(seeds: Tensor, positions: Tensor, vocabulary: int) -> Tensor:
    """Minus the logarithm of exponential variables, (rows, vocabulary).

    Args:
        seeds: (rows, 2) 32-bit halves of each row's seed, the low one first.
        positions: (rows,) of the tokens fed.
        vocabulary: how many tokens there are.
    """
    ids = torch.arange(vocabulary, device=seeds.device).expand(len(seeds), -1)
    low, high = (seeds.long() & _LOW).unbind(1)
    bits = _philox((low[:, None], high[:, None]), ids, positions.long()[:, None].expand_as(ids))
    uniform = torch.clamp((bits.float() + 0.5) * 2.0**-32, max=0.99999994)
    return -torch.log(-torch.log1p(-uniform))


def _philox(key: tuple[Tensor, Tensor], first: Tensor, second: Tensor) -> Tensor:
    """The first of the four numbers for the counters (first, second, 0, 0)."""
    key_0, key_1 = key
    c0, c1, c2, c3 = first, second, torch.zeros_like(first), torch.zeros_like(first)
    for _ in range(_ROUNDS):
        high_0, low_0 = _product(c0, _MULTIPLIERS[0])
        high_2, low_2 = _product(c2, _MULTIPLIERS[1])
        c0, c1, c2, c3 = high_2 ^ c1 ^ key_0, low_2, high_0 ^ c3 ^ key_1, low_0
        key_0 = (key_0 + _KEY_STEPS[0]) & _LOW
        key_1 = (key_1 + _KEY_STEPS[1]) & _LOW
    return c0


def _product(number: Tensor, factor: int) -> tuple[Tensor, Tensor]:
    """High and low 32 bits; in two halves, for torch has no unsigned 64 bits."""
    lower = number * (factor & 0xFFFF)
    upper = number * (factor >> 16)
    return (upper + (lower >> 16)) >> 16, (lower + (upper << 16)) & _LOW
