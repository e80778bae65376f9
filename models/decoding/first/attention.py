"""The attention function that models call in our forward passes.

Registered with transformers under a name of ours, beside the mask function of `sdpa`;
with keys that are plain tensors (an encoder) it is `sdpa`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from models.decoding.first.cache import Stored, by_row
from models.decoding.first.step import ArenaPart, Run, StepPlan
from models.errors import NotSuited

NAME = "textmill"
#: What a model may pass without it meaning anything here.
_IGNORED = frozenset({
    "dropout", "position_ids", "use_cache", "cache_position", "is_causal", "output_attentions",
    "output_hidden_states", "kwargs", "cache", "past_key_values",
})  # fmt: skip


def register() -> None:
    """Makes the function known to transformers; may be called again."""
    AttentionInterface.register(NAME, attend)
    AttentionMaskInterface.register(NAME, sdpa_mask)


def attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor | Stored,
    value: Tensor | Stored,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    position_bias: Tensor | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention of every row over its own document; shapes as in transformers."""
    if isinstance(key, Tensor):
        assert isinstance(value, Tensor), "both are stored, or neither"
        if sliding_window is not None:
            kwargs["sliding_window"] = sliding_window
        return sdpa_attention_forward(
            module, query, key, value, attention_mask,
            scaling=scaling, position_bias=position_bias, **kwargs,
        )  # fmt: skip
    unknown = {name for name, given in kwargs.items() if given is not None and given is not False} - _IGNORED
    if unknown:
        raise NotSuited(f"attention with {', '.join(sorted(unknown))}")
    plan = key.plan
    window = sliding_window if sliding_window is not None and plan.num_positions > sliding_window else None
    queries = by_row(query)  # (rows, heads, size)
    outputs = queries.new_empty(queries.shape)
    for part in plan.parts:
        bias = part.bias
        if position_bias is not None and not key.is_cross:
            bias = _relative(plan, part, position_bias)
        elif window is not None:
            bias = _windowed(plan, part, window)
        outputs[part.rows] = _attend_arena(part, key.layer, queries[part.rows], bias, scaling)
    for run in plan.runs:
        outputs[run.rows] = _attend_run(module, run, key.layer, queries, scaling, window)
    shape = (1, -1) if query.shape[0] == 1 else (-1, 1)
    return outputs.view(*shape, *outputs.shape[1:]), None


def _attend_arena(
    part: ArenaPart, layer: int, queries: Tensor, bias: Tensor, scaling: float | None
) -> Tensor:
    """One call for all slots: (rows, heads, size) in and out."""
    _, num_heads, size = queries.shape
    num_groups, num_cells = part.arena.layer(layer)[0].shape[1], part.num_slots * part.width
    if not part.is_full:
        cells = queries.new_zeros((num_cells, num_heads, size))
        cells[part.cells] = queries
        queries = cells
    # Heads that share keys stand with the sequences of a slot: all of them are queries of one key.
    shared = num_heads // num_groups
    queries = queries.view(part.num_slots, part.width, num_groups, shared, size)
    queries = queries.permute(0, 2, 3, 1, 4).reshape(part.num_slots, num_groups, shared * part.width, size)
    if shared > 1 and part.width > 1:
        bias = bias.unsqueeze(2).expand(-1, -1, shared, -1, -1).flatten(2, 3)
    attended = _attend_few(part, layer, queries, bias, scaling)
    attended = attended.view(part.num_slots, num_groups, shared, part.width, size).permute(0, 3, 1, 2, 4)
    attended = attended.reshape(num_cells, num_heads, size)
    return attended if part.is_full else attended[part.cells]


def _attend_few(part: ArenaPart, layer: int, queries: Tensor, bias: Tensor, scaling: float | None) -> Tensor:
    """(slots, heads, queries, size) in and out; the bias is (slots, 1 or heads, 1 or queries, entries)."""
    stored = part.arena.layer(layer)
    if reads_what_is_seen(queries.device, queries.dtype):
        from models.decoding.first import kernel  # only now: a GPU's worker needs no compiler

        return kernel.attend(queries, *stored, bias, first_slot=part.slots.start, scaling=scaling)
    keys, values = (each[part.slots, :, : part.num_visible] for each in stored)
    return scaled_dot_product_attention(queries, keys, values, attn_mask=bias, scale=scaling)


def reads_what_is_seen(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether documents that decode are attended to by our own kernel, which reads no hidden entry.

    torch's multiplies them by zero, and zero times NaN is NaN.
    """
    return device.type == "cpu" and dtype in (torch.float32, torch.bfloat16)


def _attend_run(
    module: torch.nn.Module,
    run: Run,
    layer: int,
    queries: Tensor,
    scaling: float | None,
    window: int | None,
) -> Tensor:
    """A prompt's tokens over themselves and what came before them."""
    keys, values = (
        t[run.tenant.slot : run.tenant.slot + 1, :, : run.stop] for t in run.tenant.arena.layer(layer)
    )
    own = queries[run.rows].transpose(0, 1).unsqueeze(0)  # (1, heads, tokens, size)
    mask = None
    if window is not None or (run.start and run.num_tokens > 1):
        mask = torch.ones((run.num_tokens, run.stop), dtype=torch.bool, device=own.device).tril(run.start)
        if window is not None:
            mask = mask.triu(run.start - window + 1)
        mask = mask[None, None]
    attended, _ = sdpa_attention_forward(module, own, keys, values, mask, scaling=scaling, is_causal=True)
    return attended[0]


def _windowed(plan: StepPlan, part: ArenaPart, window: int) -> Tensor:
    """The bias of a part with all entries hidden that lie too far back; the same for all layers."""
    key = (id(part), window)
    if key not in plan.notes:
        entries = torch.arange(part.num_visible, device=part.bias.device)
        prompts = [tenant.prompt_entries for tenant in part.arena.tenants[part.slots]]
        shared = torch.tensor(prompts, device=entries.device)[:, None]
        positions = torch.where(entries < shared, entries, shared + (entries - shared) // part.arena.width)
        queries = plan.positions.new_zeros(part.num_slots * part.width)
        queries[part.cells] = plan.positions[part.rows]
        far = positions[:, None] <= queries.view(part.num_slots, part.width, 1) - window
        plan.notes[key] = part.bias.masked_fill(far[:, None], part.arena.hidden)
    return plan.notes[key]


def _relative(plan: StepPlan, part: ArenaPart, position_bias: Tensor) -> Tensor:
    """T5's bias, (1, heads, rows, positions), as (slots, heads, width, entries), with what is hidden.

    The same for all layers that share it, and computed for the first of them.
    """
    key = (id(part), id(position_bias))
    if key not in plan.notes:
        plan.notes[id(position_bias)] = position_bias  # kept alive, so that its id is not given again
        entries = torch.arange(part.num_visible, device=position_bias.device)
        # One start token, then as many entries a position as the slot has sequences.
        positions = torch.where(entries < 1, entries, 1 + (entries - 1) // part.arena.width)
        own = position_bias[0][:, part.rows][:, :, positions.clamp(max=position_bias.shape[-1] - 1)]
        cells = own.new_zeros((own.shape[0], part.num_slots * part.width, part.num_visible))
        cells[:, part.cells] = own
        cells = cells.view(-1, part.num_slots, part.width, part.num_visible).transpose(0, 1)
        plan.notes[key] = torch.where(part.bias < 0, part.bias, cells)
    return plan.notes[key]
