"""Weights laid out for the processor once, instead of anew in every product.

oneDNN's bfloat16 kernels want the weights of a layer in blocks. With plain weights they
are rearranged in each call, which costs as much as the product itself when the batch has
a few dozen rows; packed, the layers of GPT-2 run 1.5 to 2 times as fast (measured with
AMX, 8 to 128 rows). The operators are those that torch's own compiler uses.

In float32 they are no slower than plain ones, and steadier: MKL, which computes plain
layers, chooses how to add up a row's products by how many rows there are, oneDNN does not
(but for one row alone). So a text that is read keeps its scores to the byte beside any
others; what is decoded stays as it is.
"""

from __future__ import annotations

import inspect
import re
from typing import Any

import torch
from torch import Tensor, nn
from transformers.activations import GELUActivation, GELUTanh, NewGELUActivation, SiLUActivation
from transformers.pytorch_utils import Conv1D

from models.loading.device import Device

_TYPICAL_ROWS = 64  # the layout may depend on it; others work as well
#: Layers of transformers' own models whose output goes to the activation beside them and nowhere else:
#: GPT-2, GPT-J and CodeGen, GPT-NeoX and Falcon, the BART family and OPT, BERT, DistilBERT.
_FOLLOWED = (
    ("c_fc", "act"),
    ("fc_in", "act"),
    ("dense_h_to_4h", "act"),
    ("fc1", "activation_fn"),
    ("dense", "intermediate_act_fn"),
    ("lin1", "activation"),
)
#: What oneDNN calls an activation, and its way of computing it.
_ACTIVATIONS: dict[type[nn.Module], tuple[str, str]] = {
    nn.ReLU: ("relu", ""),
    nn.SiLU: ("swish", ""),
    SiLUActivation: ("swish", ""),
    nn.GELU: ("gelu", "none"),
    GELUActivation: ("gelu", "none"),
    GELUTanh: ("gelu", "tanh"),
}


class PackedLinear(nn.Module):
    """A linear layer for inference alone."""

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        self.out_features, self.in_features = weight.shape
        self.num_bytes = weight.numel() * weight.element_size()
        # Some models look at a layer's dtype before they call it.
        self.weight = nn.Parameter(weight.new_empty(0), requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias.detach(), requires_grad=False)
        self.activation = ("none", "")
        self._is_steady = weight.dtype == torch.float32
        self._packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), _TYPICAL_ROWS)

    def forward(self, inputs: Tensor) -> Tensor:
        """As `nn.Linear`, and the activation behind it."""
        if self._is_steady and inputs.numel() == self.in_features:
            # One row alone goes by another kernel, which adds up in another order.
            return self._computed(inputs.reshape(1, -1).expand(2, -1))[0].view(*inputs.shape[:-1], -1)
        return self._computed(inputs)

    def _computed(self, inputs: Tensor) -> Tensor:
        name, algorithm = self.activation
        outputs: Tensor = torch.ops.mkldnn._linear_pointwise(
            inputs, self._packed, self.bias, name, [], algorithm
        )
        return outputs


def packs(dtype: str, device: Device, *, decodes: bool = True) -> bool:
    """Whether weights of this dtype gain by it on this device, and this torch can do it.

    Args:
        dtype: of the weights.
        device: where they are.
        decodes: whether the model makes tokens, or reads only.
    """
    is_faster = dtype == "bfloat16" and device.has_fast_bfloat16
    is_steadier = dtype == "float32" and not decodes
    if not device.is_cpu or not (is_faster or is_steadier):
        return False
    try:
        with torch.inference_mode():
            weight, inputs = torch.randn(2, 32, 32, dtype=getattr(torch, dtype)).unbind()
            packed = PackedLinear(weight, None)(inputs)
            return torch.allclose(packed, inputs @ weight.t(), rtol=0.05, atol=0.5)
    except (AttributeError, RuntimeError, NotImplementedError):  # another torch, another processor
        return False


def pack(model: Any) -> Any:
    """Replaces linear layers, which then compute the activation that follows, and slow activations."""
    _replace(model)
    for module in model.modules():
        for linear, activation in _FOLLOWED:
            _join(module, linear, activation)
    return model


def _replace(parent: nn.Module) -> None:
    for name, child in list(parent.named_children()):
        if type(child) is nn.Linear and not _reads_weight(parent, name):
            setattr(parent, name, PackedLinear(child.weight, child.bias))
        elif isinstance(child, Conv1D):  # GPT-2 keeps its weights transposed
            setattr(parent, name, PackedLinear(child.weight.t(), child.bias))
        elif isinstance(child, NewGELUActivation):  # the same in eight steps, where it is not joined
            setattr(parent, name, GELUTanh())
        else:
            _replace(child)


def _reads_weight(parent: nn.Module, name: str) -> bool:
    """Whether a module computes with a layer's weight itself, past the layer: Mamba's like, Reformer."""
    try:
        code = inspect.getsource(type(parent))
    except (OSError, TypeError):  # no source to look at
        return False
    # Its type and place are looked at by some before they call the layer.
    return bool(re.search(rf"(?<!isinstance\()self\.{name}\.weight\b(?!\.(?:dtype|device))", code))


def _join(parent: nn.Module, linear_name: str, activation_name: str) -> None:
    """An activation by itself takes a third as long as the product before it."""
    linear, activation = getattr(parent, linear_name, None), getattr(parent, activation_name, None)
    known = _ACTIVATIONS.get(type(activation))  # type: ignore[arg-type]  # None is no key
    if isinstance(linear, PackedLinear) and known:
        linear.activation = known
        setattr(parent, activation_name, nn.Identity())
