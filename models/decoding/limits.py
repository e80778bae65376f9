"""How much a device takes at once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from models.decoding.scheduling.pages import num_pages_for
from models.decoding.scheduling.scheduler import Limits
from models.decoding.tensors.kv_pages import KVPages
from models.loading.registry import Family, LoadedModel

#: Share of the device's memory that keys and values may take.
_CACHE_SHARE = 0.2
#: Of it, for a decoder-only model's groups: they have pages of their own beside those of single rows.
_GROUPS_PART = 0.25
#: An eighth of them is kept for urgent requests: 64 rows on an ordinary day on a CPU, 504 on CUDA.
_CPU_ROWS, _CUDA_ROWS = 73, 576
#: Groups have several rows a document. In bfloat16 the products of a row take a third less time
#: among 192 than among 64; more gain nothing.
_CPU_GROUP_ROWS = 219
#: On CUDA as many as 504 documents of 4 beams, as long as sequences are short: more rows share a step's
#: weights, and a long tail of few rows wastes them (an H200 takes 177 steps for 512 documents with 576
#: rows); tables grow with rows times length.
_CUDA_GROUP_ROWS, _CUDA_GROUP_TABLE = 2304, 2304 * 1024
#: Who wrote what a beam continues stands in a table of so many places a row.
_MOST_GROUP_ENTRIES = 8192
_LEAST_TOKENS = 4096
#: Keys that a row may have at most; longer documents decode by `generate`.
_MOST_CPU_ENTRIES, _MOST_CUDA_ENTRIES = 131_072, 8192
#: Prompt tokens beside a decoding step: few enough that the step does not take much longer.
_CPU_CHUNK_TOKENS, _CUDA_CHUNK_SIZES = 256, (256, 512, 1024, 2048)


def limits_for(loaded: LoadedModel) -> Limits:
    """The limits of a model on its device; `num_pages` as rows and lengths bound it."""
    is_cpu = loaded.device.is_cpu
    config: Any = loaded.config.get_text_config(decoder=True)
    most = _MOST_CPU_ENTRIES if is_cpu else _MOST_CUDA_ENTRIES
    max_entries = min(int(getattr(config, "max_position_embeddings", None) or most), most)
    max_rows = _CPU_ROWS if is_cpu else _CUDA_ROWS
    chunk = min(_CPU_CHUNK_TOKENS, max(1, loaded.spec.max_batch_tokens))
    return Limits(
        max_rows=max_rows,
        num_pages=max_rows * num_pages_for(max_entries) + 1,
        max_entries=max_entries,
        chunk_sizes=(chunk,) if is_cpu else _CUDA_CHUNK_SIZES,
        is_exact=is_cpu,
    )


def group_limits_for(loaded: LoadedModel) -> Limits:
    """The same for groups."""
    limits = limits_for(loaded)
    max_entries = min(limits.max_entries, _MOST_GROUP_ENTRIES)
    max_rows = _CPU_GROUP_ROWS
    if not loaded.device.is_cpu:
        max_rows = max(limits.max_rows, min(_CUDA_GROUP_ROWS, _CUDA_GROUP_TABLE // max_entries // 64 * 64))
    return replace(
        limits,
        max_rows=max_rows,
        max_entries=max_entries,
        num_pages=max_rows * num_pages_for(max_entries) + 1,
    )


def affordable_pages(loaded: LoadedModel, pages: KVPages, limits: Limits, *, for_groups: bool) -> int:
    """As many as are wanted, within the share of the memory; a model's two pools share it."""
    part = 1.0
    if loaded.family is Family.CAUSAL:
        part = _GROUPS_PART if for_groups else 1 - _GROUPS_PART
    affordable = int(loaded.device.memory_bytes * _CACHE_SHARE * part) // pages.page_bytes
    return max(2, min(limits.num_pages, affordable))


def affordable_tokens(loaded: LoadedModel) -> int:
    """Tokens of a decoder whose keys and values fit that share, by whatever keeps them."""
    return max(_LEAST_TOKENS, int(loaded.device.memory_bytes * _CACHE_SHARE) // entry_bytes(loaded))


def entry_bytes(loaded: LoadedModel) -> int:
    """Bytes of the keys and values of one token, in all layers, as the configuration says."""
    config: Any = loaded.config.get_text_config(decoder=True)
    # Gemma 4 has heads of another size in each kind of layer, and raises when asked for the one size.
    layers = getattr(config, "per_layer_config", None)
    if not layers:
        layers = [config] * int(getattr(config, "decoder_layers", None) or config.num_hidden_layers)
    itemsize = 4 if loaded.dtype == "int8" else torch.finfo(loaded.model.dtype).bits // 8
    return 2 * itemsize * sum(map(_entry_numbers, layers))


def _entry_numbers(config: Any) -> int:
    """Numbers in the keys of one token, in a layer."""
    num_heads = int(config.num_attention_heads)
    num_groups = int(getattr(config, "num_key_value_heads", None) or num_heads)
    return num_groups * int(getattr(config, "head_dim", None) or config.hidden_size // num_heads)
