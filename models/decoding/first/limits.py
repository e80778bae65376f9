"""How much a device takes at once."""

from __future__ import annotations

from typing import Any

import torch

from models.decoding.first.scheduler import Limits
from models.loading.registry import Family, LoadedModel

#: Share of the device's memory that keys and values may take.
_CACHE_SHARE = 0.2
_CPU_ROWS, _CUDA_ROWS = 64, 256
#: An encoder-decoder has several rows a document (beams) and a decoder that is a part of it.
_CPU_CROSS_ROWS = 128
#: Prompt tokens beside a decoding step: few enough that the step does not take much longer.
_CPU_CHUNK_TOKENS, _CUDA_CHUNK_TOKENS = 256, 2048


def limits_for(loaded: LoadedModel) -> Limits:
    """The limits of a model on its device."""
    is_cpu = loaded.device.is_cpu
    is_causal = loaded.family is Family.CAUSAL
    max_rows = _CUDA_ROWS if not is_cpu else _CPU_ROWS if is_causal else _CPU_CROSS_ROWS
    budget_bytes = int(loaded.device.memory_bytes * _CACHE_SHARE)
    return Limits(
        max_rows=max_rows,
        max_entries=max(4096, budget_bytes // entry_bytes(loaded)),
        max_chunk_tokens=min(
            loaded.spec.max_batch_tokens, _CPU_CHUNK_TOKENS if is_cpu else _CUDA_CHUNK_TOKENS
        ),
        # An encoder is worth starting for several documents at once.
        min_free_rows=1 if is_causal else max_rows // 4,
    )


def entry_bytes(loaded: LoadedModel) -> int:
    """Bytes of the keys and values of one token, in all layers."""
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
