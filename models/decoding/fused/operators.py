"""The kernels beside this file as functions of tensors."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from models.decoding.fused import kernels

_BLOCK = 2048


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """(..., size) over its root mean square, times `weight` (size,)."""
    x = x.contiguous()
    out = torch.empty_like(x)
    size = x.shape[-1]
    kernels.rms_norm[(x.numel() // size,)](
        x, weight, out, epsilon, SIZE=size, SIZE_P=triton.next_power_of_2(size), num_warps=4
    )
    return out


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: float) -> Tensor:
    """(..., size) less its mean over its standard deviation, times `weight` plus `bias`, each (size,)."""
    x = x.contiguous()
    out = torch.empty_like(x)
    size = x.shape[-1]
    kernels.layer_norm[(x.numel() // size,)](
        x, weight, bias, out, epsilon, SIZE=size, SIZE_P=triton.next_power_of_2(size), num_warps=4
    )
    return out


def silu_times(both: Tensor) -> Tensor:
    """(..., 2 * size), contiguous, to (..., size): SiLU of the first half times the second."""
    size = both.shape[-1] // 2
    out = torch.empty(*both.shape[:-1], size, dtype=both.dtype, device=both.device)
    kernels.silu_times[(out.numel() // size, -(-size // _BLOCK))](
        both, out, 2 * size, SIZE=size, BLOCK=_BLOCK, num_warps=4
    )
    return out


def rotate(queries: Tensor, keys: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Rotary positions of (1, heads, tokens, size) by (1, tokens, size); the last strides are 1."""
    _, heads, tokens, size = queries.shape
    key_heads = keys.shape[1]
    new = [
        torch.empty(1, tokens, count, size, dtype=queries.dtype, device=queries.device)
        for count in (heads, key_heads)
    ]
    kernels.rotate[(tokens,)](
        queries, keys, cos, sin, *new, queries.stride(2), queries.stride(1), keys.stride(2), keys.stride(1),
        cos.stride(1), sin.stride(1), HEADS=heads, HEADS_P=triton.next_power_of_2(heads),
        KEY_HEADS=key_heads, KEY_HEADS_P=triton.next_power_of_2(key_heads), HALF=size // 2,
        HALF_P=triton.next_power_of_2(size // 2), num_warps=4,
    )  # fmt: skip
    return new[0].transpose(1, 2), new[1].transpose(1, 2)
