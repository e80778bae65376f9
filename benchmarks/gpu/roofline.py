"""The fewest seconds that a workload can take on the device at hand."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.workload import Workload

_COPY_BYTES, _SIDE, _TRIES = 1 << 30, 8192, 8
_NO_PRODUCT = re.compile(r"wte|wpe|embed|shared|lm_head")
#: Computed once for each token that is read: the encoder, and what the decoder attends to of it.
_OF_SOURCE = re.compile(r"encoder\.layers|encoder_attn\.[kv]_proj")

#: New tokens a second at the ceilings, of so many steps.
Roof = Callable[[int], float]


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


def of_decoder(work: Workload, ceilings: Ceilings) -> Roof:
    """For decoder-only models.

    The weights once a step, or the products where those take longer; every key and value of a
    row once for each token that follows it; the products of the prompts.
    """
    config, model = work.plain.config, work.plain
    key_heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    head_size = config.hidden_size // config.num_attention_heads
    layers = _numbers(model, lambda name: not _NO_PRODUCT.search(name))
    whole = layers + model.get_output_embeddings().weight.numel()
    entry_bytes = 2 * config.num_hidden_layers * key_heads * head_size * model.dtype.itemsize
    entries = sum(row.new_tokens * len(row.input_ids) + row.new_tokens**2 // 2 for row in work.rows)
    prompts = 2 * layers * sum(len(row.input_ids) for row in work.rows)
    return _Roof(work, ceilings, whole, entries * entry_bytes, prompts)


def of_encoder_decoder(work: Workload, ceilings: Ceilings) -> Roof:
    """The same of a decoder; a beam reads its own keys, those of the source are read once for all."""
    config, model = work.plain.config, work.plain
    of_source = _numbers(model, lambda name: bool(_OF_SOURCE.search(name)))
    decoder = _numbers(model, lambda name: not (_OF_SOURCE.search(name) or _NO_PRODUCT.search(name)))
    whole = decoder + model.get_output_embeddings().weight.numel()
    entry_bytes = 2 * config.decoder_layers * config.d_model * model.dtype.itemsize
    entries = sum(
        row.new_tokens * len(row.input_ids) + work.num_beams * row.new_tokens**2 // 2 for row in work.rows
    )
    sources = 2 * of_source * sum(len(row.input_ids) for row in work.rows)
    return _Roof(work, ceilings, whole, entries * entry_bytes, sources)


@dataclass(frozen=True)
class _Roof:
    work: Workload
    ceilings: Ceilings
    weights: int  #: numbers that each step reads, and each token is multiplied with
    keys_bytes: int  #: read, over all documents
    prompt_products: int  #: floating-point operations of what is read before anything is decoded

    def __call__(self, steps: int) -> float:
        ceilings, tokens = self.ceilings, self.work.useful_tokens
        read = self.weights * self.work.plain.dtype.itemsize * steps / ceilings.bytes_per_second
        products = 2 * self.weights * tokens * self.work.num_beams / ceilings.products_per_second
        keys = self.keys_bytes / ceilings.bytes_per_second
        return tokens / (max(read, products) + keys + self.prompt_products / ceilings.products_per_second)


def _numbers(model: Any, counts: Callable[[str], bool]) -> int:
    return sum(p.numel() for name, p in model.named_parameters() if p.dim() == 2 and counts(name))


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
