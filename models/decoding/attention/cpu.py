"""Attention over pages on a CPU.

Rows that decode go through a kernel that numba compiles for this processor. It reads the keys
and values that are seen, once, in the order of their positions, so that the bits of a row
depend on nobody beside it. Prompts have many queries: their keys are laid side by side for
torch's own attention. All is computed in float32 at least.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from models.decoding.attention import cpu_kernels as kernels
from models.decoding.attention.interface import Layer
from models.decoding.compiled import one_at_a_time, stored
from models.decoding.scheduling import layout
from models.decoding.scheduling.layout import Shape
from models.decoding.scheduling.pages import PAGE_TOKENS
from models.decoding.tensors.kv_pages import KVPages
from models.decoding.tensors.state import BatchState


@dataclass(frozen=True)
class _Run:
    """Tokens of one prompt in a step."""

    seat: int
    tokens: slice  #: of the step
    start: int  #: position of the first
    stop: int  #: behind the last


class CpuAttention:
    """The backend for CPUs."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self._nothing = np.zeros(0, np.float32)

    def begin(self, state: BatchState, shape: Shape) -> None:
        """As the interface says."""
        wanted, new_pages = state.rows_in(shape.num_rows)
        prompt = state.prompt_in(shape).numpy() if shape.num_prompt else np.zeros(0, np.int32)
        kernels.compiled_begin()(
            wanted.numpy(), new_pages.numpy(), prompt, state.rows.numpy(), state.seats.numpy(),
            state.token_ids.numpy(), state.positions.numpy(), state.seen.numpy(),
            shape.num_rows, shape.num_prompt, state.num_seats,
        )  # fmt: skip
        self._runs = _runs_of(prompt, shape, state.num_seats)

    def attend(self, state: BatchState, pages: KVPages, shape: Shape, layer: Layer) -> Tensor:
        """As the interface says."""
        queries, keys, values = (computed(each) for each in (layer.queries, layer.keys, layer.values))
        num_tokens, num_heads, _ = queries.shape
        out = torch.empty(num_tokens, num_heads, values.shape[2], dtype=queries.dtype)
        pools = pages.keys[layer.number], pages.values[layer.number]
        tables = state.rows.numpy()
        for run in self._runs:  # all that rows may read is stored before they do
            table = tables[run.seat, layout.PAGES :]
            for pool, new in zip(pools, (keys, values), strict=True):
                kernels.compiled_store(pool.dtype)(stored(pool), table, stored(new[run.tokens]), run.start)
            out[run.tokens] = _prompt(layer, run, queries[run.tokens], table, pools, (keys, values))
        if self._runs:
            out[self._runs[-1].tokens.stop :] = 0  # what pads a chunk
        if shape.num_rows:
            self._decode(state, shape, layer, queries, (keys, values), pools, out)
        return out if out.dtype == layer.queries.dtype else out.to(layer.queries.dtype)

    def _decode(
        self, state: BatchState, shape: Shape, layer: Layer, queries: Tensor, new: tuple[Tensor, Tensor],
        pools: tuple[Tensor, Tensor], out: Tensor,
    ) -> None:  # fmt: skip
        with one_at_a_time():
            kernels.compiled_decode(queries.dtype)(
                stored(queries), stored(new[0]), stored(new[1]), stored(pools[0]), stored(pools[1]),
                state.seats.numpy(), state.positions.numpy(), state.rows.numpy(), stored(out),
                shape.num_rows, state.num_seats, np.float32(layer.scale), layer.window, np.float32(layer.cap),
                self._of_heads(layer.slopes), self._of_heads(layer.sinks),
            )  # fmt: skip

    def _of_heads(self, numbers: Tensor | None) -> Any:
        return self._nothing if numbers is None else numbers.detach().float().numpy()


def computed(tensor: Tensor) -> Tensor:
    """Half precision is computed in float32: processors have no products of it."""
    return tensor if tensor.dtype in (torch.float32, torch.bfloat16) else tensor.float()


def _runs_of(prompt: Any, shape: Shape, nobody: int) -> list[_Run]:
    """The chunk's blocks joined to what belongs to one prompt."""
    runs: list[_Run] = []
    count = shape.num_prompt
    seats, firsts, starts, counts = prompt[layout.PROMPT_PARTS * count :].reshape(layout.BLOCK_PARTS, -1)
    for block in np.flatnonzero(counts):
        seat, first, start = int(seats[block]), shape.num_rows + int(firsts[block]), int(starts[block])
        end, stop = first + int(counts[block]), start + int(counts[block])
        last = runs[-1] if runs else None
        if last is not None and (last.seat, last.tokens.stop, last.stop) == (seat, first, start):
            runs[-1] = _Run(seat, slice(last.tokens.start, end), last.start, stop)
        elif seat != nobody:
            runs.append(_Run(seat, slice(first, end), start, stop))
    return runs


# Prompts.


def _prompt(
    layer: Layer, run: _Run, queries: Tensor, table: Any, pools: tuple[Tensor, Tensor],
    new: tuple[Tensor, Tensor],
) -> Tensor:  # fmt: skip
    """A prompt's tokens over themselves and what came before them, (tokens, heads, size)."""
    if run.start:
        keys, values = (_in_order(pool, table, run.stop) for pool in pools)
    else:
        keys, values = (each[run.tokens].transpose(0, 1) for each in new)
    own = queries.transpose(0, 1)  # (heads, tokens, size), as keys and values
    mask = _mask(run, layer.window)
    if layer.is_plain:
        mixed = scaled_dot_product_attention(
            own[None], keys[None], values[None], attn_mask=mask, is_causal=mask is None, scale=layer.scale,
            enable_gqa=len(own) != len(keys),
        )[0]  # fmt: skip
    else:
        mixed = _by_products(layer, run, own, keys, values, mask)
    return mixed.transpose(0, 1)


def _mask(run: _Run, window: int) -> Tensor | None:
    """Whom each token sees; None: everybody up to itself, and nobody came before the first."""
    num_tokens = run.stop - run.start
    if not run.start and not (window and run.stop > window):
        return None
    mask = torch.ones(num_tokens, run.stop, dtype=torch.bool).tril(run.start)
    return mask.triu(run.start - window + 1) if window else mask


def _by_products(
    layer: Layer, run: _Run, queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None
) -> Tensor:
    """Attention with what torch's own does not know, in float32; (heads, tokens, size) in and out."""
    shared = len(queries) // len(keys)
    wide_keys, wide_values = (each.float().repeat_interleave(shared, 0) for each in (keys, values))
    scores = queries.float() @ wide_keys.transpose(1, 2) * layer.scale
    if layer.cap:
        scores = layer.cap * torch.tanh(scores / layer.cap)
    if layer.slopes is not None:
        scores = scores + layer.slopes.float()[:, None, None] * torch.arange(run.stop)
    if mask is None:
        mask = torch.ones(scores.shape[1:], dtype=torch.bool).tril(run.start)
    scores = scores.masked_fill(~mask, -torch.inf)
    if layer.sinks is not None:
        sinks = layer.sinks.float()[:, None, None].expand(-1, scores.shape[1], 1)
        scores = torch.cat([scores, sinks], dim=-1)
    shares = torch.softmax(scores, dim=-1)[..., : run.stop]
    return (shares @ wide_values).to(queries.dtype)


def _in_order(pool: Tensor, table: Any, stop: int) -> Tensor:
    """The first entries of a sequence out of its pages, (heads, entries, size)."""
    count = -(-stop // PAGE_TOKENS)
    found = pool[torch.from_numpy(table[:count]).long()]  # (pages, heads, positions, size)
    return found.transpose(0, 1).flatten(1, 2)[:, :stop]
