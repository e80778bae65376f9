"""Memory that runs out once: the n-th operation that makes a tensor raises as torch's allocator does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

#: As of the CPU's allocator, which has no type of its own.
MESSAGE = (
    "[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to allocate"
)


class FailingMemory(TorchDispatchMode):
    """Counts what allocates, and lets one of it fail."""

    def __init__(self, at: int | None = None) -> None:
        super().__init__()
        self.num_allocations = 0
        self.has_failed = False
        self._at = at

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if _allocates(func):
            if self.num_allocations == self._at:
                self.has_failed = True
                self._at = None
                raise RuntimeError(MESSAGE)
            self.num_allocations += 1
        return func(*args, **(kwargs or {}))


def _allocates(func: Any) -> bool:
    """Whether an operator returns a new tensor, and not one that it was given."""
    returns = func._schema.returns
    return any(each.alias_info is None and isinstance(each.type, torch.TensorType) for each in returns)
