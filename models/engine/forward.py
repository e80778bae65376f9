"""One forward pass of a decoder, by the model's own code, over documents of any length.

The tokens of a step lie side by side. Depending on how an architecture counts positions
it wants them as one long sequence (`PACKED`) or as many of one token (`ROWS`); which
suits a model is tried when it is loaded, against the model's plain forward pass.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any

import torch
from torch import Tensor

from models.engine import attention
from models.engine.arena import Arena, ArenaSet, Tenant
from models.engine.cache import CrossCache, StepCache, joint_cache
from models.engine.decoding import Decoding
from models.engine.scheduler import Chunk
from models.engine.step import ArenaPart, Run, StepPlan, index
from models.registry import LoadedModel


class Layout(Enum):
    """How the tokens of a step are laid out."""

    PACKED = "packed"  #: (1, tokens)
    ROWS = "rows"  #: (tokens, 1)


class Forward:
    """What decoder-only and encoder-decoder models have in common."""

    def __init__(self, loaded: LoadedModel, layout: Layout) -> None:
        self.model: Any = loaded.model
        self.device = loaded.device.torch
        self.layout = layout
        self.dtype: torch.dtype = _compute_dtype(loaded)
        self._sees_whole_slots = attention.attends_by_products(self.device, self.dtype)
        self.own = ArenaSet(dtype=self.dtype, device=self.device)
        attention.register()
        takes = inspect.signature(self.model.forward).parameters
        self._cache_name = "cache" if "cache" in takes else "past_key_values"
        # Passes through the models' mask making untouched; our attention knows better.
        self._any_mask = torch.zeros((1, 1, 1, 1), dtype=self.dtype, device=self.device)

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
            num_visible=self._num_visible(arena, filled),
        )
        # A sequence sees its own new entry.
        arena.bias[part.row_slots, part.cells % arena.width, part.entries] = 0
        return part

    def _num_visible(self, arena: Arena, filled: Iterable[int]) -> int:
        """Entries worth looking at, of slots that are filled so far."""
        return arena.capacity if self._sees_whole_slots else max(filled)

    def laid_out(self, numbers: Tensor) -> Tensor:
        """Numbers of rows in the shape the model takes."""
        return numbers[None] if self.layout is Layout.PACKED else numbers[:, None]

    def past(self, positions: Tensor) -> Tensor:
        """What the cache says its length is, so that models count every row's own position."""
        if self.layout is Layout.PACKED:
            return positions - torch.arange(len(positions), device=self.device)
        return positions[:, None]


class CausalForward(Forward):
    """Decoder-only models: decoding rows and chunks of prompts in one pass."""

    def __init__(self, loaded: LoadedModel, layout: Layout) -> None:
        super().__init__(loaded, layout)
        takes = inspect.signature(self.model.forward).parameters
        self._takes_positions = "position_ids" in takes
        self._keeps_some_logits = "logits_to_keep" in takes

    def step(
        self, decodings: Sequence[Decoding], chunks: Sequence[tuple[Decoding, Chunk]]
    ) -> tuple[list[Decoding], Tensor]:
        """Computes one token of every live sequence, and chunks of prompts.

        Returns the documents that have logits, in the order of their rows, and these rows.
        """
        parts, ordered = self.parts_of(decodings)
        tokens = [token for decoding in ordered for token in decoding.search.next_tokens]
        positions = [decoding.num_positions for decoding in ordered for _ in decoding.search.live]
        kept = list(range(len(tokens)))
        runs = []
        for decoding, chunk in chunks:
            run = self._run(decoding.own, chunk, len(tokens))
            tokens += decoding.input_ids[run.start : run.stop]
            positions += range(run.start, run.stop)
            runs.append(run)
            if chunk.is_last:
                kept.append(run.rows.stop - 1)
                ordered.append(decoding)
        plan = StepPlan(
            num_rows=len(tokens),
            positions=index(positions, self.device),
            parts=parts,
            runs=runs,
            num_positions=max(positions) + 1,
        )
        return ordered, self._compute(plan, index(tokens, self.device), kept)

    def _run(self, own: Tenant, chunk: Chunk, first_row: int) -> Run:
        run = Run(own, slice(first_row, first_row + chunk.num_tokens), chunk.start)
        own.arena.bias[own.slot, :, run.start : run.stop] = 0
        return run

    def _compute(self, plan: StepPlan, tokens: Tensor, kept: Sequence[int]) -> Tensor:
        options: dict[str, Any] = {self._cache_name: StepCache(plan, past=self.past(plan.positions))}
        if self._takes_positions:
            options["position_ids"] = self.laid_out(plan.positions)
        is_all = len(kept) == plan.num_rows
        if self._keeps_some_logits and self.layout is Layout.PACKED and not is_all:
            options["logits_to_keep"] = index(kept, self.device)
            is_all = True
        logits: Tensor = self.model(
            input_ids=self.laid_out(tokens), attention_mask=self._any_mask, use_cache=True, **options
        ).logits
        logits = logits.flatten(0, 1)
        return logits if is_all else logits[index(kept, self.device)]


class CrossForward(Forward):
    """Encoder-decoders: the encoder once for each document, then its decoder's steps."""

    def __init__(self, loaded: LoadedModel, layout: Layout) -> None:
        super().__init__(loaded, layout)
        self.cross = ArenaSet(dtype=self.dtype, device=self.device)
        self._pad_id = loaded.model.config.pad_token_id or 0

    def begin(self, decodings: Sequence[Decoding]) -> Tensor:
        """Encodes new documents and computes their first token; logits by document, one row each.

        Their slots must have been entered just before, in this order.
        """
        states, mask = self._encode(decodings)
        count = len(decodings)
        own_parts = self._new_parts([decoding.own for decoding in decodings], [1] * count)
        cross_parts = self._new_parts(
            [_cross_of(decoding) for decoding in decodings], mask.sum(dim=1).tolist()
        )
        plan = StepPlan(num_rows=count, positions=index([0] * count, self.device), parts=own_parts)
        tokens = index([decoding.search.options.start_ids[0] for decoding in decodings], self.device)
        cross = StepPlan(num_rows=count, positions=plan.positions, parts=cross_parts)
        return self._compute(plan, cross, tokens, states, is_encoded=False)

    def step(self, decodings: Sequence[Decoding]) -> tuple[list[Decoding], Tensor]:
        """Computes one token of every live sequence; as `CausalForward.step`."""
        parts, ordered = self.parts_of(decodings)
        tokens = [token for decoding in ordered for token in decoding.search.next_tokens]
        positions = [decoding.num_positions for decoding in ordered for _ in decoding.search.live]
        plan = StepPlan(
            num_rows=len(tokens),
            positions=index(positions, self.device),
            parts=parts,
            num_positions=max(positions) + 1,
        )
        cross = StepPlan(num_rows=len(tokens), positions=plan.positions, parts=self._cross_parts(ordered))
        nothing = torch.zeros((1, 1, 1), dtype=self.dtype, device=self.device)
        return ordered, self._compute(plan, cross, index(tokens, self.device), nothing, is_encoded=True)

    def enter(self, decoding: Decoding, num_entries: int) -> None:
        """Gives a document its slots."""
        super().enter(decoding, num_entries)
        decoding.cross = Tenant(decoding.own.width)
        self.cross.enter(decoding.cross, len(decoding.input_ids))

    def give_back(self) -> None:
        """Frees the memory of slots that nobody has."""
        super().give_back()
        self.cross.drop_empty()

    def activate(self, decoding: Decoding) -> None:
        """From the next step on it decodes."""
        super().activate(decoding)
        cross = _cross_of(decoding)
        cross.num_entries = len(decoding.input_ids)
        cross.arena.activate(cross)

    def _encode(self, decodings: Sequence[Decoding]) -> tuple[Tensor, Tensor]:
        longest = max(len(decoding.input_ids) for decoding in decodings)
        ids = torch.full((len(decodings), longest), self._pad_id)
        mask = torch.zeros_like(ids)
        for row, decoding in enumerate(decodings):
            ids[row, : len(decoding.input_ids)] = torch.tensor(decoding.input_ids)
            mask[row, : len(decoding.input_ids)] = 1
        ids, mask = ids.to(self.device), mask.to(self.device)
        states: Tensor = self.model.get_encoder()(input_ids=ids, attention_mask=mask).last_hidden_state
        return states, mask

    def _new_parts(self, tenants: Sequence[Tenant], num_entries: Sequence[int]) -> list[ArenaPart]:
        """Parts of tenants that stand behind those that decode, one row each."""
        arenas = {id(tenant.arena): tenant.arena for tenant in tenants}
        rows_of = {id(tenant): row for row, tenant in enumerate(tenants)}
        parts = []
        for arena in arenas.values():
            slots = slice(arena.num_active, len(arena.tenants))
            rows = [rows_of[id(tenant)] for tenant in arena.tenants[slots]]
            for row in rows:
                arena.bias[tenants[row].slot, :, : num_entries[row]] = 0
            parts.append(
                ArenaPart(
                    arena=arena,
                    slots=slots,
                    width=1,
                    rows=index(rows, self.device),
                    cells=torch.arange(len(rows), device=self.device),
                    is_full=True,
                    entries=torch.zeros(len(rows), dtype=torch.long, device=self.device),
                    num_visible=max(num_entries[row] for row in rows),
                )
            )
        return parts

    def _cross_parts(self, ordered: Sequence[Decoding]) -> list[ArenaPart]:
        rows_by_arena: dict[int, list[tuple[int, int]]] = {}
        row = 0
        for decoding in ordered:
            cross = _cross_of(decoding)
            pairs = rows_by_arena.setdefault(id(cross.arena), [])
            for number in decoding.search.live:
                pairs.append((cross.slot * cross.width + number, row))
                row += 1
        parts = []
        for arena in self.cross:
            pairs = sorted(rows_by_arena.get(id(arena), []))
            if pairs:
                active = arena.tenants[: arena.num_active]
                parts.append(
                    ArenaPart(
                        arena=arena,
                        slots=slice(0, arena.num_active),
                        width=arena.width,
                        rows=index([row for _, row in pairs], self.device),
                        cells=index([cell for cell, _ in pairs], self.device),
                        is_full=len(pairs) == arena.num_active * arena.width,
                        entries=None,
                        num_visible=self._num_visible(arena, (t.num_entries for t in active)),
                    )
                )
        return parts

    def _compute(
        self, plan: StepPlan, cross: StepPlan, tokens: Tensor, states: Tensor, *, is_encoded: bool
    ) -> Tensor:
        cache = joint_cache(
            StepCache(plan, past=self.past(plan.positions)), CrossCache(cross), is_encoded=is_encoded
        )
        logits: Tensor = self.model(
            encoder_outputs=(states,),
            attention_mask=self._any_mask,
            decoder_input_ids=self.laid_out(tokens),
            decoder_attention_mask=self._any_mask,
            use_cache=True,
            **{self._cache_name: cache},
        ).logits
        return logits.flatten(0, 1)


def _cross_of(decoding: Decoding) -> Tenant:
    assert decoding.cross is not None, "an encoder-decoder's documents have entered both arenas"
    return decoding.cross


def _compute_dtype(loaded: LoadedModel) -> torch.dtype:
    """In which numbers keys and values come; int8 is of weights alone."""
    return torch.float32 if loaded.dtype == "int8" else loaded.model.dtype
