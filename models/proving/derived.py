"""What a model makes of its configuration when it is built, found by building it again without weights.

Longformer keeps half of its window, ModernBERT half and one, GPT-Neo a table that has the
window in it. Two skeletons, built by the model's own code from the configuration as it is
and from the changed one, differ in exactly these places.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel
from transformers.initialization import no_init_weights

logger = logging.getLogger(__name__)

_SIMPLE = (bool, int, float, str, type(None), list, tuple)


@dataclass(frozen=True)
class Derived:
    """A value that a changed configuration gives a module."""

    place: dict[str, Any]  #: the module's attributes, or its buffers
    name: str
    value: Any


def derived_values(model: nn.Module, before: Any, after: Any) -> list[Derived]:
    """What is to be changed in a model's modules so that it is as if built from another configuration.

    Args:
        model: built from `before`; other modules may stand in for some of its own.
        before: its configuration.
        after: the other one, of the same layers.
    """
    if not isinstance(model, PreTrainedModel):
        return []
    try:
        one, other = (dict(_skeleton(type(model), config).named_modules()) for config in (before, after))
    except Exception as error:  # a model's own code, with numbers that nobody has tried on it
        logger.debug("no skeleton", exc_info=error, extra={"action": "no_skeleton"})
        return []
    return [
        Derived(place, name, value)
        for path, module in model.named_modules()
        if path in one and path in other
        for place, name, value in _differing(module, one[path], other[path])
    ]


def _skeleton(model_class: type[PreTrainedModel], config: Any) -> nn.Module:
    with _NoWeights(), no_init_weights():
        return model_class(config)


class _NoWeights(TorchFunctionMode):
    """Weights take no memory; what is computed from numbers of the configuration is computed."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        options = dict(kwargs or {})
        if func is torch.empty:
            options["device"] = "meta"
        return func(*args, **options)


def _differing(
    module: nn.Module, one: nn.Module, other: nn.Module
) -> Iterator[tuple[dict[str, Any], str, Any]]:
    own, before, after = vars(module), vars(one), vars(other)
    for name, value in after.items():
        is_simple = isinstance(value, _SIMPLE) and isinstance(before.get(name), _SIMPLE)
        if is_simple and name in own and before[name] != value:
            yield own, name, value
    for name, buffer in other._buffers.items():
        mine, was = module._buffers.get(name), one._buffers.get(name)
        if mine is not None and was is not None and buffer is not None and not _is_equal(was, buffer):
            yield module._buffers, name, buffer.to(device=mine.device, dtype=mine.dtype)


def _is_equal(one: Tensor, other: Tensor) -> bool:
    """Whether two buffers hold the same; of those without numbers nothing can be said."""
    return one.is_meta or other.is_meta or torch.equal(one, other)
