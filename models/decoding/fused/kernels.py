"""What stands between the products of a layer, by Triton; each rounds where transformers rounds."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def rms_norm(source, weight, out, epsilon, SIZE: tl.constexpr, SIZE_P: tl.constexpr):
    """A row divided by its root mean square, times the weights."""
    row = tl.program_id(0).to(tl.int64)
    n = tl.arange(0, SIZE_P)
    is_there = n < SIZE
    x = tl.load(source + row * SIZE + n, mask=is_there, other=0.0).to(tl.float32)
    x = x * (1 / tl.sqrt_rn(tl.sum(x * x, 0) / SIZE + epsilon))
    x = x.to(out.dtype.element_ty).to(tl.float32)
    factor = tl.load(weight + n, mask=is_there, other=0.0).to(tl.float32)
    tl.store(out + row * SIZE + n, (factor * x).to(out.dtype.element_ty), mask=is_there)


@triton.jit
def layer_norm(source, weight, bias, out, epsilon, SIZE: tl.constexpr, SIZE_P: tl.constexpr):
    """A row less its mean, divided by its standard deviation, times the weights, plus the biases."""
    row = tl.program_id(0).to(tl.int64)
    n = tl.arange(0, SIZE_P)
    is_there = n < SIZE
    x = tl.load(source + row * SIZE + n, mask=is_there, other=0.0).to(tl.float32)
    x = tl.where(is_there, x - tl.sum(x, 0) / SIZE, 0.0)
    x = x * (1 / tl.sqrt_rn(tl.sum(x * x, 0) / SIZE + epsilon))
    factor = tl.load(weight + n, mask=is_there, other=0.0).to(tl.float32)
    added = tl.load(bias + n, mask=is_there, other=0.0).to(tl.float32)
    tl.store(out + row * SIZE + n, (x * factor + added).to(out.dtype.element_ty), mask=is_there)


@triton.jit
def silu_times(both, out, stride, SIZE: tl.constexpr, BLOCK: tl.constexpr):
    """SiLU of the first half of a row, times the second."""
    row = tl.program_id(0).to(tl.int64)
    n = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    is_there = n < SIZE
    gate = tl.load(both + row * stride + n, mask=is_there, other=0.0).to(tl.float32)
    up = tl.load(both + row * stride + SIZE + n, mask=is_there, other=0.0).to(tl.float32)
    gate = (gate / (1 + tl.exp(-gate))).to(out.dtype.element_ty).to(tl.float32)
    tl.store(out + row * SIZE + n, (gate * up).to(out.dtype.element_ty), mask=is_there)


@triton.jit
def _turned(source, out, cos, sin, token, s_token, s_head, HEADS: tl.constexpr, HEADS_P: tl.constexpr,
            HALF: tl.constexpr, HALF_P: tl.constexpr):  # fmt: skip
    """All heads of a token; `cos` and `sin` are those of its first numbers."""
    kind = out.dtype.element_ty
    h = tl.arange(0, HEADS_P)[:, None]
    d = tl.arange(0, HALF_P)[None, :]
    is_there = (h < HEADS) & (d < HALF)
    cos_1 = tl.load(cos + d, mask=d < HALF, other=0.0).to(tl.float32)
    cos_2 = tl.load(cos + HALF + d, mask=d < HALF, other=0.0).to(tl.float32)
    sin_1 = tl.load(sin + d, mask=d < HALF, other=0.0).to(tl.float32)
    sin_2 = tl.load(sin + HALF + d, mask=d < HALF, other=0.0).to(tl.float32)
    at = source + token * s_token + h * s_head + d
    x_1 = tl.load(at, mask=is_there, other=0.0).to(tl.float32)
    x_2 = tl.load(at + HALF, mask=is_there, other=0.0).to(tl.float32)
    first = (x_1 * cos_1).to(kind).to(tl.float32) + (-x_2 * sin_1).to(kind).to(tl.float32)
    second = (x_2 * cos_2).to(kind).to(tl.float32) + (x_1 * sin_2).to(kind).to(tl.float32)
    to = out + (token * HEADS + h) * (2 * HALF) + d
    tl.store(to, first.to(kind), mask=is_there)
    tl.store(to + HALF, second.to(kind), mask=is_there)


@triton.jit
def rotate(
    queries, keys, cos, sin, new_queries, new_keys, q_token, q_head, k_token, k_head, c_token, s_token,
    HEADS: tl.constexpr, HEADS_P: tl.constexpr, KEY_HEADS: tl.constexpr, KEY_HEADS_P: tl.constexpr,
    HALF: tl.constexpr, HALF_P: tl.constexpr,
):  # fmt: skip
    """Rotary positions: x times cos, plus (minus its second half, its first half) times sin."""
    token = tl.program_id(0).to(tl.int64)
    cos += token * c_token
    sin += token * s_token
    _turned(queries, new_queries, cos, sin, token, q_token, q_head, HEADS, HEADS_P, HALF, HALF_P)
    _turned(keys, new_keys, cos, sin, token, k_token, k_head, KEY_HEADS, KEY_HEADS_P, HALF, HALF_P)
