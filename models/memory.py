"""How much memory a model takes, and how an allocation that failed is recognised."""

from __future__ import annotations

import ctypes

import torch

#: glibc's; other C libraries have none.
_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)


def memory_bytes(model: torch.nn.Module) -> int:
    """Bytes of parameters and buffers, quantised and packed weights included; shared ones count once."""
    seen: dict[int, int] = {}
    for tensor in [*model.parameters(), *model.buffers()]:
        seen[tensor.data_ptr()] = tensor.numel() * tensor.element_size()
    packed = 0
    for module in model.modules():
        weight = getattr(module, "weight", None)
        if callable(weight):  # a quantised layer hands out its weight by a method
            packed += int(weight().numel())
        packed += int(getattr(module, "num_bytes", 0))  # of a layer with packed weights
    return sum(seen.values()) + packed


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an allocation failed, on whichever device; the CPU's allocator has no type of its own."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def release_cached_memory() -> None:
    """Gives back what the CUDA allocator keeps for later; nothing to do on the CPU."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def return_freed_memory() -> None:
    """Gives back what the C library keeps for later, on Linux with glibc; some ten milliseconds.

    Freed pages below one that is still used stay with the process otherwise, and are not found again
    when the next large text wants them.
    """
    if _malloc_trim is not None:
        _malloc_trim(0)
