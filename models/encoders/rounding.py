"""How much a model's scores move by rounding alone, found by shaking the last bit of every layer's outputs.

Scores may be small differences of large numbers: RoBERTa in bfloat16 says 0.06 for a text
from terms of about 1, of which each is rounded to 0.004. What that comes to cannot be
told from the scores.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def shaken(model: nn.Module, *, seed: int = 0) -> Iterator[None]:
    """While this is in force, every number that a layer puts out is off by up to half of its last bit."""
    draw = torch.Generator().manual_seed(seed)

    def shake(_module: nn.Module, _inputs: Any, outputs: Any) -> Any:
        if not isinstance(outputs, Tensor) or not outputs.is_floating_point():
            return outputs
        unit = torch.finfo(outputs.dtype).eps / 2
        noise = torch.rand(outputs.shape, generator=draw).mul_(2.0).sub_(1.0).mul_(unit).add_(1.0)
        return (outputs * noise.to(outputs.device)).to(outputs.dtype)

    layers = [module for module in model.modules() if not any(True for _ in module.children())]
    hooks = [layer.register_forward_hook(shake) for layer in layers]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
