"""Puts fused kernels in the place of modules that are known for sure, for as long as our steps run.

Known is a module whose class computes by the very code of Llama's (many models' classes are
copies of it), or whose class is the very one. Names prove nothing: Gemma's norm is called as
Llama's and adds one to its weights. What is known is tried by the proof at loading besides.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from types import FunctionType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.activations import NewGELUActivation, SiLUActivation
from transformers.models.llama import modeling_llama as llama

from models.decoding.fused import operators

_ROTATE = "apply_rotary_pos_emb"
#: Attention whose keys are not of what asks: one product for all three would be computed twice.
_OF_ANOTHER_TEXT = ("encoder_attn", "crossattention")


class Fusion:
    """The replacements for one model. Packed weights take the place of those they are made of."""

    def __init__(self, model: nn.Module) -> None:
        self._forwards: list[tuple[nn.Module, Callable[..., Tensor]]] = []
        self._packed: list[Packed] = []
        for name, module in model.named_modules():
            self._look_at(name.rpartition(".")[2], module)
        self._namespace = vars(sys.modules[type(model).__module__])
        rotation = self._namespace.get(_ROTATE)
        self._rotation = rotation if _is_llamas_rotation(rotation) else None

    @property
    def num_replaced(self) -> int:
        """Modules and functions that are known."""
        return len(self._forwards) + (self._rotation is not None)

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """The model computes by fused kernels, as long as it lasts."""
        for module, forward in self._forwards:
            vars(module)["forward"] = forward
        if self._rotation is not None:
            self._namespace[_ROTATE] = partial(_rotate, self._rotation)
        try:
            yield
        finally:
            for module, _ in self._forwards:
                del vars(module)["forward"]
            if self._rotation is not None:
                self._namespace[_ROTATE] = self._rotation
            for packed in self._packed:
                packed.forget()

    def _look_at(self, name: str, module: Any) -> None:
        if "forward" in vars(module):  # somebody else's
            return
        forward = type(module).forward
        if type(module) is NewGELUActivation:
            self._forwards.append((module, partial(functional.gelu, approximate="tanh")))
        elif type(module) is nn.LayerNorm and module.bias is not None and len(module.normalized_shape) == 1:
            self._forwards.append((module, _layer_norm(module)))
        elif _is_same(forward, llama.LlamaRMSNorm.forward):
            self._forwards.append((module, _rms_norm(module)))
        elif _is_same(forward, llama.LlamaMLP.forward) and type(module.act_fn) in (SiLUActivation, nn.SiLU):
            packed = self._pack(module, ("gate_proj", "up_proj"))
            if packed is not None:
                self._forwards.append((module, _gated(module, packed)))
        elif name not in _OF_ANOTHER_TEXT:
            names = ("q_proj", "k_proj", "v_proj")
            packed = self._pack(module, names)
            if packed is not None:
                self._forwards += [
                    (getattr(module, name), partial(packed.part, place)) for place, name in enumerate(names)
                ]

    def _pack(self, module: nn.Module, names: Sequence[str]) -> Packed | None:
        linears = [getattr(module, name, None) for name in names]
        if not all(type(linear) is nn.Linear and "forward" not in vars(linear) for linear in linears):
            return None
        kinds = {
            (linear.in_features, linear.weight.dtype, linear.bias is None)  # type: ignore[union-attr]
            for linear in linears
        }
        if len(kinds) > 1:
            return None
        packed = Packed(linears)  # type: ignore[arg-type]
        self._packed.append(packed)
        return packed


class Packed:
    """Projections of one input as one product, handed out part by part."""

    def __init__(self, linears: Sequence[nn.Linear]) -> None:
        self._sizes = [linear.out_features for linear in linears]
        self._weight = _joined([linear.weight for linear in linears])
        biases = [linear.bias for linear in linears if linear.bias is not None]
        self._bias = _joined(biases) if biases else None
        self._input: Tensor | None = None
        self._parts: dict[int, Tensor] = {}

    def whole(self, x: Tensor) -> Tensor:
        """All of them, side by side."""
        return functional.linear(x, self._weight, self._bias)

    def part(self, place: int, x: Tensor) -> Tensor:
        """One of them; who asks for another of the same input is given it of the same product."""
        if x is not self._input or place not in self._parts:
            self._input = x
            self._parts = dict(enumerate(self.whole(x).split(self._sizes, dim=-1)))
        result = self._parts.pop(place)
        if not self._parts:  # what is kept, a graph's memory cannot use again
            self._input = None
        return result

    def forget(self) -> None:
        """Keeps nothing of a step."""
        self._input, self._parts = None, {}


@torch.no_grad()
def _joined(parts: Sequence[Tensor]) -> Tensor:
    """One tensor, of which the parts become views: no weight is kept twice, whoever joins them again."""
    joined = _already_joined(parts)
    if joined is not None:
        return joined
    whole = torch.cat([part.detach() for part in parts])
    start = 0
    for part in parts:
        part.data = whole[start : start + len(part)]
        start += len(part)
    return whole


def _already_joined(parts: Sequence[Tensor]) -> Tensor | None:
    """The tensor of which the parts are views, one behind the other, if there is one."""
    first = parts[0].detach()
    place = first.data_ptr()
    for part in parts:
        is_next = part.data_ptr() == place and part.is_contiguous()
        if not is_next or part.untyped_storage().data_ptr() != first.untyped_storage().data_ptr():
            return None
        place += part.numel() * part.itemsize
    length = sum(len(part) for part in parts)
    return first.as_strided((length, *first.shape[1:]), first.stride())


def _layer_norm(module: nn.LayerNorm) -> Callable[[Tensor], Tensor]:
    return lambda x: operators.layer_norm(x, module.weight, module.bias, module.eps)


def _rms_norm(module: Any) -> Callable[[Tensor], Tensor]:
    return lambda x: operators.rms_norm(x, module.weight, module.variance_epsilon)


def _gated(module: Any, packed: Packed) -> Callable[[Tensor], Tensor]:
    def forward(x: Tensor) -> Tensor:
        result: Tensor = module.down_proj(operators.silu_times(packed.whole(x)))
        return result

    return forward


def _rotate(
    plain: Callable[..., tuple[Tensor, Tensor]], q: Tensor, k: Tensor, cos: Tensor, sin: Tensor, *more: Any,
    **options: Any,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """As a model calls it; `plain` where the shapes are not those of a packed step."""
    is_packed = q.shape[0] == 1 and cos.shape[0] == 1 and cos.shape[-1] == q.shape[-1] == k.shape[-1]
    if more or options or not is_packed or any(x.stride(-1) != 1 for x in (q, k, cos, sin)):
        return plain(q, k, cos, sin, *more, **options)
    return operators.rotate(q, k, cos, sin)


def _is_llamas_rotation(function: Any) -> bool:
    return (
        isinstance(function, FunctionType)
        and _is_same(function, llama.apply_rotary_pos_emb)
        and _is_same(function.__globals__.get("rotate_half"), llama.rotate_half)
    )


def _is_same(function: Any, other: Callable[..., Any]) -> bool:
    """Whether two functions run the same instructions on the same names and constants."""
    return isinstance(function, FunctionType) and _code(function) == _code(cast("FunctionType", other))


def _code(function: FunctionType) -> tuple[Any, ...]:
    code = function.__code__
    constants = tuple(each for each in code.co_consts if each != function.__doc__)
    return (code.co_code, constants, code.co_names, code.co_varnames, code.co_freevars, function.__defaults__)
