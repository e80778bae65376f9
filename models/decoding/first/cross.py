"""Encoder-decoders: newcomers are encoded by length, then decode with the others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.decoding.first.arena import Tenant
from models.decoding.first.cache import CrossCache, StepCache, joint_cache
from models.decoding.first.core import DecodingCore
from models.decoding.first.decoding import Decoding
from models.decoding.first.forward import Forward
from models.decoding.first.scheduler import Limits
from models.decoding.first.step import ArenaPart, StepPlan, index
from models.decoding.passes.arrangement import Layout
from models.loading.registry import LoadedModel


class CrossForward(Forward):
    """Encoder-decoders: the encoder once for each document, then its decoder's steps."""

    def __init__(self, loaded: LoadedModel, layout: Layout) -> None:
        super().__init__(loaded, layout)
        self.cross = self._arenas()
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
        # Counted from the beginning: a neighbour that ends with its first token lets it move.
        cross = Tenant(decoding.own.width, num_entries=len(decoding.input_ids))
        self.cross.enter(cross, cross.num_entries)
        decoding.cross = cross

    def give_back(self) -> None:
        """Frees the memory of slots that nobody has."""
        super().give_back()
        self.cross.drop_empty()

    def activate(self, decoding: Decoding) -> None:
        """From the next step on it decodes."""
        super().activate(decoding)
        cross = _cross_of(decoding)
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
                        num_visible=max(tenant.num_entries for tenant in active),
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


class CrossCore(DecodingCore):
    """Encoder-decoder: newcomers are encoded by length, then decode with the others."""

    _forward: CrossForward

    def __init__(self, loaded: LoadedModel, forward: CrossForward, limits: Limits) -> None:
        super().__init__(loaded, forward, limits)
        self._max_padded_tokens = loaded.spec.max_batch_tokens

    def _compute(self, newcomers: Sequence[Decoding]) -> None:
        running = self._running()
        for group in self.scheduler.alike([d.request for d in newcomers], self._max_padded_tokens):
            self._apart([self._inside[request.key] for request in group], self._begin)
        if running:
            self._apart(running, self._go_on)

    def _begin(self, some: Sequence[Decoding]) -> None:
        try:
            for decoding in some:
                self._enter(decoding)
            logits = self._forward.begin(some)
        except Exception:
            for decoding in some:  # they enter again, each with its half
                decoding.leave(wipe=True)
            raise
        with self._landing():
            for decoding in some:
                decoding.request.prefilled_tokens = decoding.request.prompt_tokens
                decoding.own.num_entries = decoding.num_positions = 1
            for decoding in self._choose(some, logits):
                self._forward.activate(decoding)

    def _go_on(self, some: Sequence[Decoding]) -> None:
        ordered, logits = self._forward.step(some)
        with self._landing():
            for decoding in some:
                decoding.own.num_entries += decoding.own.width
                decoding.num_positions += 1
            self._forward.reorder(self._choose(ordered, logits))


def _cross_of(decoding: Decoding) -> Tenant:
    assert decoding.cross is not None, "an encoder-decoder's documents have entered both arenas"
    return decoding.cross
