"""Fused kernels against float64, and where they take the place of a model's own modules."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

pytest.importorskip("triton")

from models.decoding.factory import build_program
from models.decoding.fused import operators
from models.decoding.fused.fusion import Fusion, Packed
from models.decoding.passes.forward import PackedForward
from models.decoding.proving.probe import prove
from models.decoding.scheduling.scheduler import Limits
from models.proving.reference import Reference
from tests.support.seated import DEVICE
from tests.support.tiny_models import Loader

_CLOSE = {"rtol": 2e-6, "atol": 2e-6}
_FEW = Limits(max_rows=3, num_pages=40, max_entries=48, chunk_sizes=(16,), max_begun=3)


def _random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


@pytest.mark.parametrize("size", [8, 48, 300])
def test_the_norm_is_that_of_float64(size: int) -> None:
    x, weight = _random(1, 5, size) * 3, _random(size, seed=1)
    exact = x.double()
    exact = exact / (exact.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * weight.double()
    assert torch.allclose(operators.rms_norm(x, weight, 1e-6).double(), exact, **_CLOSE)


def test_the_norm_of_some_heads_of_a_wider_product_is_that_of_float64() -> None:
    """Qwen 3 and others norm each head of a product that is packed with others."""
    x, weight = _random(1, 5, 90)[..., 16:48].view(1, 5, 4, 8), _random(8, seed=1)
    exact = x.double()
    exact = exact / (exact.pow(2).mean(-1, keepdim=True) + 1e-6).sqrt() * weight.double()
    assert torch.allclose(operators.rms_norm(x, weight, 1e-6).double(), exact, **_CLOSE)


@pytest.mark.parametrize("size", [8, 48, 300])
def test_the_layer_norm_is_that_of_float64(size: int) -> None:
    x, weight, bias = _random(1, 5, size) * 3 + 1, _random(size, seed=1), _random(size, seed=2)
    exact = nn.functional.layer_norm(x.double(), (size,), weight.double(), bias.double(), 1e-5)
    assert torch.allclose(operators.layer_norm(x, weight, bias, 1e-5).double(), exact, **_CLOSE)


@pytest.mark.parametrize("size", [7, 48, 2050])
def test_silu_times_is_that_of_float64(size: int) -> None:
    both = _random(1, 4, 2 * size) * 4
    gate, up = both.double().chunk(2, dim=-1)
    assert torch.allclose(operators.silu_times(both).double(), nn.functional.silu(gate) * up, **_CLOSE)


@pytest.mark.parametrize(("heads", "key_heads", "size"), [(4, 4, 8), (6, 1, 96), (5, 2, 64)])
def test_the_rotation_is_that_of_float64(heads: int, key_heads: int, size: int) -> None:
    """Of parts of a packed product, whose strides are not their own."""
    packed = _random(1, 7, (heads + 2 * key_heads) * size)
    parts = packed.split([heads * size, key_heads * size, key_heads * size], dim=-1)[:2]
    views = [part.view(1, 7, -1, size).transpose(1, 2) for part in parts]
    angles = _random(1, 7, size // 2, seed=2)
    angles = torch.cat([angles, angles], dim=-1)
    got = operators.rotate(*views, angles.cos(), angles.sin())
    for one, view in zip(got, views, strict=True):
        exact = view.double()
        turned = torch.cat([-exact[..., size // 2 :], exact[..., : size // 2]], dim=-1)
        exact = exact * angles.cos().double()[:, None] + turned * angles.sin().double()[:, None]
        assert torch.allclose(one.double(), exact, **_CLOSE)


#: Layers of two: GELUs and norms; norms, gates and three projections each, and the rotation.
_REPLACED = {
    "gpt2": 2 + 5,
    "llama": 5 + 2 + 6 + 1,
    "qwen": 5 + 2 + 6 + 1,
    "mistral": 5 + 2 + 6 + 1,
    "gemma": 6 + 1,
}


@pytest.mark.parametrize("name", [*_REPLACED])
def test_a_model_says_the_same_with_its_modules_replaced(name: str, loaded: Loader) -> None:
    """Gemma's norm looks like Llama's and is another: it stays, as its gate with GELU does."""
    plain: Any = loaded("generation", name).model
    model = copy.deepcopy(plain).to(DEVICE)
    fused = Fusion(model)
    assert fused.num_replaced == _REPLACED[name]
    ids = torch.tensor([[5, 9, 33, 7, 60, 12]])
    with torch.inference_mode():
        wanted = plain(ids).logits
        with fused.in_force():
            got = model(ids.to(DEVICE)).logits.cpu()
        after = model(ids.to(DEVICE)).logits.cpu()
    assert torch.allclose(got, wanted, rtol=1e-4, atol=1e-4)
    assert torch.allclose(after, wanted, rtol=1e-4, atol=1e-4)
    assert not any("forward" in vars(module) for module in model.modules())
    assert all(torch.equal(a.cpu(), b) for a, b in zip(model.parameters(), plain.parameters(), strict=True))


def test_packed_weights_are_kept_once(loaded: Loader) -> None:
    model: Any = copy.deepcopy(loaded("generation", "llama").model)
    kept = Fusion(model)
    attention = model.model.layers[0].self_attn
    parts = [attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight]
    assert len({part.untyped_storage().data_ptr() for part in parts}) == 1
    assert kept.num_replaced


def test_projections_of_two_inputs_are_not_mixed_up() -> None:
    linears = [nn.Linear(8, size) for size in (6, 4, 4)]
    one, other = torch.randn(3, 8), torch.randn(3, 8)
    wanted = [[linear(x) for linear in linears] for x in (one, other)]
    packed = Packed(linears)
    got = [packed.part(0, one), packed.part(1, other), packed.part(2, one), packed.part(1, one)]
    right = [wanted[0][0], wanted[1][1], wanted[0][2], wanted[0][1]]
    assert all(torch.allclose(a, b, **_CLOSE) for a, b in zip(got, right, strict=True))


def test_a_class_that_computes_otherwise_is_left_alone(loaded: Loader) -> None:
    model: Any = copy.deepcopy(loaded("generation", "llama").model)
    known = Fusion(copy.deepcopy(model)).num_replaced

    class Doubled(type(model.model.norm)):  # type: ignore[misc]
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * 2

    model.model.norm.__class__ = Doubled
    assert Fusion(model).num_replaced == known - 1


def test_kernels_that_say_something_else_are_taken_out_by_the_proof(
    loaded: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded("generation", "llama")
    plain = build_program(model, _FEW, by="reference")
    program = replace(plain, forward=PackedForward(model, Fusion(model.model)))
    monkeypatch.setattr(operators, "silu_times", lambda both: both.chunk(2, dim=-1)[0])
    verdict = prove(model, Reference(model), program, _FEW)
    assert verdict.proven_tokens == _FEW.max_entries
    assert not verdict.is_fused
    assert not program.forward.is_fused


def test_packing_a_model_twice_keeps_its_weights_once(loaded: Loader) -> None:
    """A model is packed for single rows and for groups; the second copy stayed beside the first."""
    model: Any = copy.deepcopy(loaded("generation", "llama").model)
    places = []
    for _ in range(2):
        assert Fusion(model).num_replaced
        places.append([parameter.data_ptr() for parameter in model.parameters()])
    assert places[0] == places[1]
