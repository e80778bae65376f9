"""The fewest seconds that a workload can take on the device at hand."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmarks.workload import Workload

_COPY_BYTES, _SIDE, _TRIES = 1 << 30, 8192, 8
_NO_PRODUCT = re.compile(r"wte|wpe|embed|lm_head")


@dataclass(frozen=True)
class Ceilings:
    """What the device does best."""

    bytes_per_second: float  #: read or written, by a large copy
    products_per_second: float  #: floating-point operations of a large product in the workload's type


def measure(device: torch.device, dtype: torch.dtype, *, share: float = 1.0) -> Ceilings:
    """Measures them; `share` below 1 for a test that only wants to see it run."""
    source = torch.empty(int(_COPY_BYTES * share), dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    copied = 2 * source.numel() / seconds(lambda: target.copy_(source), device)
    side = max(64, int(_SIDE * share))
    left, right = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return Ceilings(copied, 2 * side**3 / seconds(lambda: left @ right, device))


def tokens_per_second(work: Workload, ceilings: Ceilings, steps: int) -> float:
    """New tokens a second at these ceilings.

    The weights once a step, or the products where those take longer; every key and value of a
    row once for each token that follows it; the products of the prompts.
    """
    config, model = work.plain.config, work.plain
    num_layers, num_heads = config.num_hidden_layers, config.num_attention_heads
    key_heads = getattr(config, "num_key_value_heads", None) or num_heads
    size = model.dtype.itemsize
    layers = sum(p.numel() for n, p in model.named_parameters() if p.dim() == 2 and not _NO_PRODUCT.search(n))
    whole = layers + model.get_output_embeddings().weight.numel()
    entry_bytes = 2 * num_layers * key_heads * (config.hidden_size // num_heads) * size
    entries = sum(row.new_tokens * len(row.input_ids) + row.new_tokens**2 // 2 for row in work.rows)
    weights = whole * size * steps / ceilings.bytes_per_second
    products = 2 * whole * work.useful_tokens / ceilings.products_per_second
    prompts = 2 * layers * sum(len(row.input_ids) for row in work.rows) / ceilings.products_per_second
    keys = entries * entry_bytes / ceilings.bytes_per_second
    return work.useful_tokens / (max(weights, products) + keys + prompts)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Of one piece of work, the mean of several."""
    for _ in range(2):
        work()
    synchronise(device)
    begun = time.perf_counter()
    for _ in range(_TRIES):
        work()
    synchronise(device)
    return (time.perf_counter() - begun) / _TRIES


def synchronise(device: torch.device) -> None:
    """Waits for the device."""
    if device.type == "cuda":
        torch.cuda.synchronize()
