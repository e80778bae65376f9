"""One forward pass of a decoder, by the model's own code, over documents of any length.

The tokens of a step lie side by side. Depending on how an architecture counts positions
it wants them as one long sequence (`PACKED`) or as many of one token (`ROWS`); which
suits a model is tried when it is loaded, against the model's plain forward pass.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from models.decoding.first import attention
from models.decoding.first.arena import Arena, ArenaSet
from models.decoding.first.decoding import Decoding
from models.decoding.first.step import ArenaPart, index
from models.decoding.passes.arrangement import Layout
from models.loading.registry import LoadedModel


class Forward:
    """What decoder-only and encoder-decoder models have in common."""

    def __init__(self, loaded: LoadedModel, layout: Layout) -> None:
        self.model: Any = loaded.model
        self.device = loaded.device.torch
        self.layout = layout
        self.dtype: torch.dtype = _compute_dtype(loaded)
        self.own = self._arenas()
        attention.register()
        takes = inspect.signature(self.model.forward).parameters
        self._cache_name = "cache" if "cache" in takes else "past_key_values"
        # Passes through the models' mask making untouched; our attention knows better.
        self._any_mask = torch.zeros((1, 1, 1, 1), dtype=self.dtype, device=self.device)

    def _arenas(self) -> ArenaSet:
        is_clean = not attention.reads_what_is_seen(self.device, self.dtype)
        return ArenaSet(dtype=self.dtype, device=self.device, is_clean=is_clean)

    def enter(self, decoding: Decoding, num_entries: int) -> None:
        """Gives a document its slots."""
        self.own.enter(decoding.own, num_entries)

    def give_back(self) -> None:
        """Frees the memory of slots that nobody has."""
        self.own.drop_empty()

    def activate(self, decoding: Decoding) -> None:
        """Its prompt is complete: from the next step on it decodes."""
        decoding.own.arena.activate(decoding.own)
        decoding.is_active = True

    def reorder(self, decodings: Sequence[Decoding]) -> None:
        """After a choice of beams: sequences take over what their parents see."""
        for decoding in decodings:
            parents = decoding.search.parents
            if parents is not None and parents != list(range(len(parents))):
                own = decoding.own
                bias = own.arena.bias[own.slot, :, : own.num_entries]
                own.arena.bias[own.slot, :, : own.num_entries] = bias[index(parents, self.device)]

    def parts_of(self, decodings: Sequence[Decoding]) -> tuple[list[ArenaPart], list[Decoding]]:
        """The self-attention of documents that decode, and these in the order of their rows."""
        for decoding in decodings:
            self.own.make_room(decoding.own, decoding.own.width)
        by_tenant = {id(decoding.own): decoding for decoding in decodings}
        parts, ordered, start = [], [], 0
        for arena in self.own:
            inside = [
                by_tenant[id(tenant)]
                for tenant in arena.tenants[: arena.num_active]
                if id(tenant) in by_tenant
            ]
            if inside:
                part = self._own_part(arena, inside, start)
                start = part.rows.stop  # type: ignore[union-attr]
                parts.append(part)
                ordered += inside
        return parts, ordered

    def _own_part(self, arena: Arena, inside: Sequence[Decoding], start: int) -> ArenaPart:
        cells, entries = [], []
        for decoding in inside:
            own = decoding.own
            cells += [own.slot * own.width + number for number in decoding.search.live]
            entries += [own.num_entries + number for number in decoding.search.live]
        filled = (decoding.own.num_entries + decoding.own.width for decoding in inside)
        part = ArenaPart(
            arena=arena,
            slots=slice(0, arena.num_active),
            width=arena.width,
            rows=slice(start, start + len(cells)),
            cells=index(cells, self.device),
            is_full=len(cells) == arena.num_active * arena.width,
            entries=index(entries, self.device),
            num_visible=max(filled),
        )
        # A sequence sees its own new entry.
        arena.bias[part.row_slots, part.cells % arena.width, part.entries] = 0
        return part

    def laid_out(self, numbers: Tensor) -> Tensor:
        """Numbers of rows in the shape the model takes."""
        return numbers[None] if self.layout is Layout.PACKED else numbers[:, None]

    def past(self, positions: Tensor) -> Tensor:
        """What the cache says its length is, so that models count every row's own position."""
        if self.layout is Layout.PACKED:
            return positions - torch.arange(len(positions), device=self.device)
        return positions[:, None]


def _compute_dtype(loaded: LoadedModel) -> torch.dtype:
    """In which numbers keys and values come; int8 is of weights alone."""
    return torch.float32 if loaded.dtype == "int8" else loaded.model.dtype
