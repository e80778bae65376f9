"""The attention compiled for the CPU against torch's own, in double precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numba
import pytest
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from models.decoding.first import kernel

_FIRST, _SLOTS, _CAPACITY = 1, 3, 40
_ROUNDING = {torch.float32: 2e-6, torch.bfloat16: 2**-8}  # of outputs, which are about 1


class _Case:
    """Slots of random numbers with room around them, and a bias that hides most entries."""

    def __init__(self, dtype: torch.dtype, *, heads: int = 2, queries: int = 1, size: int = 16) -> None:
        torch.manual_seed(heads + 10 * queries + size)
        self.dtype = dtype
        self.queries = torch.randn(_SLOTS, heads, queries, size).to(dtype)
        stored = torch.randn(2, _FIRST + _SLOTS + 2, heads, _CAPACITY, size).to(dtype)
        self.keys, self.values = stored[0], stored[1]
        self.bias = torch.full((_SLOTS, 1, queries, 31), torch.finfo(dtype).min, dtype=dtype)
        self.bias[torch.rand(self.bias.shape) < 0.4] = 0
        self.bias[..., 0] = 0  # every query sees something

    def ours(self, scaling: float | None = None) -> Tensor:
        return kernel.attend(
            self.queries, self.keys, self.values, self.bias, first_slot=_FIRST, scaling=scaling
        )

    def torchs(self, scaling: float | None = None) -> Tensor:
        slots, entries = slice(_FIRST, _FIRST + _SLOTS), slice(self.bias.shape[-1])
        queries, keys, values, bias = (
            each.double()
            for each in (
                self.queries,
                self.keys[slots, :, entries],
                self.values[slots, :, entries],
                self.bias,
            )
        )
        return scaled_dot_product_attention(queries, keys, values, attn_mask=bias, scale=scaling)


@pytest.mark.parametrize("dtype", _ROUNDING)
@pytest.mark.parametrize("shape", [{}, {"queries": 5}, {"heads": 3, "size": 64}, {"size": 20, "queries": 4}])
def test_it_says_what_torch_says(dtype: torch.dtype, shape: dict[str, int]) -> None:
    case = _Case(dtype, **shape)
    _assert_close(case.ours(), case.torchs(), dtype)
    _assert_close(case.ours(0.5), case.torchs(0.5), dtype)


@pytest.mark.parametrize("dtype", _ROUNDING)
def test_a_bias_of_each_head_is_added(dtype: torch.dtype) -> None:
    case = _Case(dtype, queries=2)
    case.bias = case.bias.repeat(1, 2, 1, 1)
    case.bias[case.bias == 0] = torch.randn(case.bias.shape).to(dtype)[case.bias == 0]
    _assert_close(case.ours(), case.torchs(), dtype)


def test_queries_that_share_one_bias_see_the_same() -> None:
    case = _Case(torch.float32, queries=4)
    case.bias = case.bias[:, :, :1]
    _assert_close(case.ours(), case.torchs(), torch.float32)


@pytest.mark.parametrize("dtype", _ROUNDING)
def test_what_is_hidden_is_not_read(dtype: torch.dtype) -> None:
    """Fresh memory holds anything, and zero times NaN is NaN."""
    case = _Case(dtype)
    expected = case.ours()
    is_hidden = torch.ones(case.keys.shape[:3], dtype=torch.bool)  # (slots, heads, entries)
    is_hidden[_FIRST : _FIRST + _SLOTS, :, : case.bias.shape[-1]] = case.bias[:, :, 0] < 0
    for stored in (case.keys, case.values):
        stored[is_hidden] = torch.nan
    assert torch.equal(case.ours(), expected)


@pytest.mark.parametrize("dtype", _ROUNDING)
@pytest.mark.parametrize("where", ["queries", "keys", "values"])
@pytest.mark.parametrize("number", [torch.nan, torch.inf])
def test_what_is_seen_and_not_finite_comes_out(dtype: torch.dtype, where: str, number: float) -> None:
    """A document fails by it, instead of going on with something that looks like a result."""
    case = _Case(dtype)
    getattr(case, where)[_FIRST if where != "queries" else 0, :, 0] = number
    outputs = case.ours()
    assert not outputs[0].isfinite().any()
    assert outputs[1:].isfinite().all()


def test_a_query_that_sees_nothing_gets_zeros() -> None:
    case = _Case(torch.float32)
    case.bias[1] = torch.finfo(torch.float32).min
    assert (case.ours()[1] == 0).all()


@pytest.mark.parametrize("dtype", _ROUNDING)
def test_scores_of_any_size_neither_overflow_nor_vanish(dtype: torch.dtype) -> None:
    case = _Case(dtype)
    case.queries *= 200
    _assert_close(case.ours(), case.torchs(), dtype)
    case.queries -= 1e4 * case.queries.sign()
    assert case.ours().isfinite().all()


def test_results_are_rounded_to_bfloat16_as_torch_rounds() -> None:
    """One entry that is seen: the result is its value, with a weight of one."""
    case = _Case(torch.bfloat16, size=32)
    case.bias[..., 1:] = torch.finfo(torch.bfloat16).min
    assert torch.equal(case.ours(), case.values[_FIRST : _FIRST + _SLOTS, :, :1])
    # Of two that weigh the same, the mean; half of them lie between two bfloat16 numbers.
    case.bias[..., 1] = 0
    case.keys[:, :, 1] = case.keys[:, :, 0]
    pairs = case.values[_FIRST : _FIRST + _SLOTS, :, :2].float()
    assert torch.equal(case.ours(), pairs.mean(dim=2, keepdim=True).bfloat16())


@pytest.mark.parametrize("content", [b"", b"cut sho"])
def test_damaged_files_of_what_was_compiled_do_no_harm(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    expected = _compile_anew().ours()
    kept = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert kept
    for path in kept:
        path.write_bytes(content)
    assert torch.equal(_compile_anew().ours(), expected)


def test_where_nothing_can_be_kept_it_is_compiled_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """numba refuses to compile for a cache that has no place, as in a container that is read-only."""
    monkeypatch.setattr(numba.core.caching.CacheImpl, "_locator_classes", [])
    assert _compile_anew().ours().isfinite().all()


def _compile_anew() -> _Case:
    kernel._compiled.cache_clear()
    return _Case(torch.float32)


def _assert_close(ours: Tensor, theirs: Tensor, dtype: torch.dtype) -> None:
    limits: dict[str, Any] = {"rtol": _ROUNDING[dtype], "atol": _ROUNDING[dtype]}
    assert ours.dtype == dtype
    torch.testing.assert_close(ours.double(), theirs, **limits)
