"""Attention that a model's own code computes, led through our pages for as long as our steps run.

Some architectures call no attention function of anybody's choice (Falcon, BLOOM, MPT, GPT-Neo), and
those with latent attention hand what the cache gives them to a projection first. Known is a class
by its full name in transformers; what is known is tried by the proof at loading besides.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from models.errors import NotSuited


@dataclass(frozen=True)
class Replacement:
    """A method of one module, and what takes its place."""

    module: nn.Module
    name: str
    function: Callable[..., Any]


def replacements_for(model: nn.Module) -> list[Replacement]:
    """What must be replaced so that a model attends over pages; empty where nothing is known.

    Raises:
        NotSuited: its scores come from rounded numbers that pages do not know.
    """
    found: list[Replacement] = []
    for module in model.modules():
        known = _known(module)
        if known is not None:
            found += known(module)
    return found


def has_only_slopes(base: nn.Module) -> bool:
    """Whether slopes are all that a model without its head knows of positions."""
    return _known(base) in (_of_bloom, _of_mpt)


def _known(module: nn.Module) -> Callable[[Any], list[Replacement]] | None:
    kind = type(module)
    return _KNOWN.get(f"{kind.__module__}.{kind.__qualname__}")


@contextmanager
def replaced(replacements: Sequence[Replacement]) -> Iterator[None]:
    """The replacements are in force, as long as it lasts."""
    for each in replacements:
        vars(each.module)[each.name] = each.function
    try:
        yield
    finally:
        for each in replacements:
            del vars(each.module)[each.name]


# Attention with slopes (ALiBi).


def _of_bloom(model: Any) -> list[Replacement]:
    if model.word_embeddings.weight.dtype != torch.float32:  # rounds each slope * position to that type
        raise NotSuited("slopes that are rounded with their positions")
    device = model.word_embeddings.weight.device
    both = model.build_alibi_tensor(torch.ones(1, 2, device=device), model.num_heads, torch.float32)
    slopes = (both[:, 0, 1] - both[:, 0, 0]).detach()
    layers = [
        Replacement(block.self_attention, "forward", partial(_bloom, block.self_attention, slopes))
        for block in model.h
    ]
    return [Replacement(model, "build_alibi_tensor", _no_slopes), *layers]


def _no_slopes(*_: Any, **__: Any) -> None:
    """Slopes are the layers' own: the mask that they are made from here is none of a step's."""


def _bloom(
    module: Any, slopes: Tensor, hidden: Tensor, residual: Tensor, *_: Any, layer_past: Any, **__: Any
) -> tuple[Tensor, None]:
    query, key, value = module._reshape(module.query_key_value(hidden))
    entries, _ = layer_past.update(key, value, module.layer_idx)
    mixed = entries.step.attend(entries, query, module.inv_norm_factor, 0, slopes=slopes)
    return residual + module.dense(mixed.flatten(1)[None]), None


def _of_mpt(model: Any) -> list[Replacement]:
    both = model.build_mpt_alibi_tensor(model.num_heads, 2, device=model.wte.weight.device)
    slopes = (both[:, 0, 1] - both[:, 0, 0]).detach()
    layers = [Replacement(block.attn, "forward", partial(_mpt, block.attn, slopes)) for block in model.blocks]
    return [Replacement(model, "build_mpt_alibi_tensor", _no_slopes), *layers]


def _mpt(module: Any, slopes: Tensor, hidden: Tensor, *_: Any, cache: Any, **__: Any) -> tuple[Tensor, None]:
    mixed = module.Wqkv(hidden)
    if module.clip_qkv:
        mixed = mixed.clamp(min=-module.clip_qkv, max=module.clip_qkv)
    query, key, value = (
        part.unflatten(2, (module.n_heads, -1)).transpose(1, 2) for part in mixed.chunk(3, dim=2)
    )
    entries, _ = cache.update(key, value, module.layer_idx)
    mixed = entries.step.attend(entries, query, module.softmax_scale, 0, slopes=slopes)
    return module.out_proj(mixed.flatten(1)[None]), None


# Attention without anything.


def _of_falcon(module: Any) -> list[Replacement]:
    if module.config.alibi:  # slope * position is rounded to bfloat16, whatever the weights are
        raise NotSuited("slopes that are rounded with their positions")
    return [Replacement(module, "forward", partial(_falcon, module))]


def _falcon(
    module: Any, hidden: Tensor, *_: Any, layer_past: Any, position_embeddings: Any, **__: Any
) -> tuple[Tensor, None]:
    fused = module.query_key_value(hidden).unflatten(2, (-1, module.head_dim))
    key_heads = (fused.shape[2] - module.num_heads) // 2
    # Of each key head: its queries, the key, the value; the model's own code copies these for all queries.
    fused = fused.unflatten(2, (key_heads, -1))
    query, key, value = fused[..., :-2, :].flatten(2, 3), fused[..., -2, :], fused[..., -1, :]
    rotate = vars(sys.modules[type(module).__module__])["apply_rotary_pos_emb"]
    query, key = rotate(query.transpose(1, 2), key.transpose(1, 2), *position_embeddings)
    entries, _ = layer_past.update(key, value.transpose(1, 2), module.layer_idx)
    mixed = entries.step.attend(entries, query, module.inv_norm_factor, 0)
    return module.dense(mixed.flatten(1)[None]), None


def _of_gpt_neo(module: Any) -> list[Replacement]:
    window = module.config.window_size if module.attention_type == "local" else 0
    return [Replacement(module, "forward", partial(_gpt_neo, module, window))]


def _gpt_neo(
    module: Any, window: int, hidden: Tensor, *_: Any, layer_past: Any, **__: Any
) -> tuple[Tensor, None]:
    query, key, value = (
        projection(hidden).unflatten(2, (module.num_heads, -1)).transpose(1, 2)
        for projection in (module.q_proj, module.k_proj, module.v_proj)
    )
    entries, _ = layer_past.update(key, value, module.layer_id)
    mixed = entries.step.attend(entries, query, 1.0, window)
    return module.out_proj(mixed.flatten(1)[None]), None


# Latent attention.


def _of_latents(module: Any) -> list[Replacement]:
    """Pages hold keys and values, not what they are made from: each is made once, and read often."""
    return [Replacement(module, "expand_kv", partial(_expanded, module.expand_kv))]


def _expanded(expand: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], entries: Any, _: Any) -> Any:
    keys, values = expand(entries.keys, entries.values)
    both = replace(entries, keys=keys, values=values)
    return both, both


_KNOWN: dict[str, Callable[[Any], list[Replacement]]] = {
    f"transformers.models.{name}": of
    for name, of in {
        "bloom.modeling_bloom.BloomModel": _of_bloom,
        "mpt.modeling_mpt.MptModel": _of_mpt,
        "falcon.modeling_falcon.FalconAttention": _of_falcon,
        "gpt_neo.modeling_gpt_neo.GPTNeoSelfAttention": _of_gpt_neo,
        "deepseek_v2.modeling_deepseek_v2.DeepseekV2Attention": _of_latents,
        "deepseek_v3.modeling_deepseek_v3.DeepseekV3Attention": _of_latents,
        "minicpm3.modeling_minicpm3.MiniCPM3Attention": _of_latents,
        "glm4_moe_lite.modeling_glm4_moe_lite.Glm4MoeLiteAttention": _of_latents,
        "mistral4.modeling_mistral4.Mistral4Attention": _of_latents,
        "youtu.modeling_youtu.YoutuAttention": _of_latents,
    }.items()
}
