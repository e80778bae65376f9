"""Attention over pages by plain torch: for tests and for devices without a faster way.

Every token, of a row or of a prompt, gathers all pages of its sequence. Nothing is read on the
host and no shape depends on a length, so that a step is the same program every time.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.decoding.attention.interface import Layer
from models.decoding.scheduling import layout
from models.decoding.scheduling.layout import Shape
from models.decoding.scheduling.pages import PAGE_TOKENS
from models.decoding.tensors.kv_pages import KVPages
from models.decoding.tensors.state import BatchState


class ReferenceAttention:
    """The backend that others are compared with."""

    def begin(self, state: BatchState, shape: Shape) -> None:
        """As the interface says."""
        num_rows, nobody = shape.num_rows, state.num_seats
        wanted, new_pages = state.rows_in(num_rows)
        is_done = state.rows[wanted.long(), layout.IS_DONE] != 0
        seats = torch.where(is_done, nobody, wanted)
        state.seats[:num_rows].copy_(seats)
        rows = seats.long()
        positions = state.rows[rows, layout.POSITION]
        columns = (layout.PAGES + positions // PAGE_TOKENS).long()
        is_new = (new_pages > 0) & (seats != nobody)
        state.rows[rows, columns] = torch.where(is_new, new_pages, state.rows[rows, columns])
        ids, prompt_seats, prompt_positions = prompt_tokens(state, shape)
        token_ids = torch.cat([state.rows[rows, layout.TOKEN], ids])
        state.token_ids[: shape.num_tokens].copy_(token_ids)
        state.positions[: shape.num_tokens].copy_(torch.cat([positions, prompt_positions]))
        if state.seen.shape[1] > 1:  # a state without penalties keeps one column
            ones = torch.ones_like(token_ids, dtype=torch.uint8)
            state.seen[torch.cat([rows, prompt_seats.long()]), token_ids.long()] = ones

    def attend(self, state: BatchState, pages: KVPages, shape: Shape, layer: Layer) -> Tensor:
        """As the interface says."""
        seats = torch.cat([state.seats[: shape.num_rows], prompt_tokens(state, shape)[1]]).long()
        positions = state.positions[: shape.num_tokens]
        tables = state.rows[seats][:, layout.PAGES :].long()
        keys, values = pages.keys[layer.number], pages.values[layer.number]
        own = tables.gather(1, (positions // PAGE_TOKENS)[:, None])[:, 0]
        keys[own, :, positions % PAGE_TOKENS] = layer.keys
        values[own, :, positions % PAGE_TOKENS] = layer.values
        places = torch.arange(state.most_pages * PAGE_TOKENS, device=state.device)
        is_seen = places <= positions[:, None]
        if layer.window:
            is_seen = is_seen & (places > positions[:, None] - layer.window)
        return attend_to(layer, _in_order(keys[tables]), _in_order(values[tables]), is_seen)


def attend_to(layer: Layer, keys: Tensor, values: Tensor, is_seen: Tensor) -> Tensor:
    """Attention of a layer's queries.

    Args:
        layer: its queries, scale and bias.
        keys: (tokens, key heads, places, head size); the queries of a key head share it.
        values: likewise.
        is_seen: (tokens, places).
    """
    tokens, heads, size = layer.queries.shape
    queries = layer.queries.float().reshape(tokens, keys.shape[1], -1, size)
    scores = torch.einsum("thgd,thnd->thgn", queries, keys.float()) * layer.scale
    if layer.cap:
        scores = layer.cap * torch.tanh(scores / layer.cap)
    if layer.bias is not None:
        scores = scores + layer.bias.float().transpose(0, 1).reshape(scores.shape)
    places = torch.arange(keys.shape[2], device=keys.device)
    if layer.slopes is not None:
        scores = scores + layer.slopes.float().view(1, keys.shape[1], -1, 1) * places
    scores = scores.masked_fill(~is_seen[:, None, None], -torch.inf)
    if layer.sinks is not None:
        sinks = layer.sinks.float().view(1, keys.shape[1], -1, 1).expand(tokens, -1, -1, 1)
        scores = torch.cat([scores, sinks], dim=-1)
    shares = torch.softmax(scores, dim=-1)[..., : len(places)]
    # What is not seen may be anybody's, NaN too.
    clean = values.float().masked_fill(~is_seen[:, None, :, None], 0.0)
    mixed = torch.einsum("thgn,thnd->thgd", shares, clean)
    return mixed.reshape(tokens, heads, -1).to(layer.queries.dtype)


def _in_order(pages: Tensor) -> Tensor:
    """(tokens, pages, heads, positions, size) to (tokens, heads, places, size)."""
    return pages.transpose(1, 2).flatten(2, 3)


def prompt_tokens(state: BatchState, shape: Shape) -> tuple[Tensor, Tensor, Tensor]:
    """Ids, seats and positions of a step's prompt tokens."""
    part = state.prompt_in(shape)[: layout.PROMPT_PARTS * shape.num_prompt]
    ids, seats, positions = part.view(layout.PROMPT_PARTS, shape.num_prompt).unbind()
    return ids, seats, positions
