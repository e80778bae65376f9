"""Attention over the pages of groups by plain torch: each key is read from whoever wrote it."""

from __future__ import annotations

import torch
from torch import Tensor

from models.decoding.attention.interface import Layer
from models.decoding.attention.reference import ReferenceAttention, attend_to, prompt_tokens
from models.decoding.scheduling import group_layout, layout
from models.decoding.scheduling.layout import Shape
from models.decoding.scheduling.pages import PAGE_TOKENS
from models.decoding.tensors.group_state import GroupState
from models.decoding.tensors.kv_pages import KVPages
from models.decoding.tensors.state import BatchState


class AncestralAttention(ReferenceAttention):
    """The backend for groups that others are compared with."""

    def attend(self, state: BatchState, pages: KVPages, shape: Shape, layer: Layer) -> Tensor:
        """As the interface says."""
        assert isinstance(state, GroupState)
        most = state.most_pages * PAGE_TOKENS
        places = torch.arange(min(shape.num_keys or most, most), device=state.device)
        positions = state.positions[: shape.num_tokens]
        seats = torch.cat([state.seats[: shape.num_rows], prompt_tokens(state, shape)[1]]).long()
        columns = (layout.PAGES + positions // PAGE_TOKENS)[:, None]
        own = state.rows[seats].gather(1, columns)[:, 0].long()
        keys, values = pages.keys[layer.number], pages.values[layer.number]
        keys[own, :, positions % PAGE_TOKENS] = layer.keys
        values[own, :, positions % PAGE_TOKENS] = layer.values
        writers = _writers(state, shape, seats, positions, places)
        read = state.rows[writers, layout.PAGES + places // PAGE_TOKENS].long()
        is_seen = places <= positions[:, None]
        if layer.window:
            is_seen = is_seen & (places > positions[:, None] - layer.window)
        return attend_to(layer, _read(keys, read, places), _read(values, read, places), is_seen)

    def attend_source(self, state: GroupState, pages: KVPages, shape: Shape, layer: Layer) -> Tensor:
        """Attention of every row over its document's source; (rows, heads, head size)."""
        most = state.most_source_pages * PAGE_TOKENS
        rows = state.rows[state.seats[: shape.num_rows].long(), state.first_column :]
        places = torch.arange(most, device=state.device)
        read = rows[:, group_layout.SOURCE_PAGES + places // PAGE_TOKENS].long()
        is_seen = places < rows[:, group_layout.SOURCE_LENGTH, None]
        keys, values = pages.keys[layer.number], pages.values[layer.number]
        return attend_to(layer, _read(keys, read, places), _read(values, read, places), is_seen)

    @staticmethod
    def store_source(pages: KVPages, number: int, keys: Tensor, values: Tensor, cells: Tensor) -> None:
        """As the interface says; what is kept nowhere goes to nobody's page."""
        places = torch.arange(cells.shape[1], device=cells.device) % PAGE_TOKENS
        for pool, new in ((pages.keys[number], keys), (pages.values[number], values)):
            own = new.transpose(1, 2).flatten(0, 1)  # (documents * tokens, heads, size)
            pool[cells.flatten().long(), :, places.repeat(len(cells))] = own.to(pool.dtype)


def _writers(state: GroupState, shape: Shape, seats: Tensor, positions: Tensor, places: Tensor) -> Tensor:
    """Who wrote what each token sees, (tokens, places); a prompt is written by the leader alone."""
    of_rows = slice(shape.num_rows)
    table = state.ancestry[positions[of_rows] % 2, seats[of_rows]][:, : len(places)].long()
    table = torch.where(places < positions[of_rows, None], table, seats[of_rows, None])
    of_prompts = seats[shape.num_rows :, None].expand(-1, len(places))
    return torch.cat([table, of_prompts])


def _read(pool: Tensor, pages: Tensor, places: Tensor) -> Tensor:
    """Keys or values (tokens, heads, places, size), of pages (tokens, places)."""
    return pool[pages, :, places % PAGE_TOKENS].transpose(1, 2)
