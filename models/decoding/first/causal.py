"""Decoder-only models: prompts are computed in chunks beside the documents that decode."""

from __future__ import annotations

import inspect
from collections.abc import Hashable, Sequence
from typing import Any

from torch import Tensor

from models.decoding.first.arena import Tenant
from models.decoding.first.cache import StepCache
from models.decoding.first.core import DecodingCore
from models.decoding.first.decoding import Decoding
from models.decoding.first.forward import Forward
from models.decoding.first.scheduler import Chunk
from models.decoding.first.step import Run, StepPlan, index
from models.decoding.passes.arrangement import Layout
from models.loading.registry import LoadedModel


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


class CausalCore(DecodingCore):
    """Decoder-only: prompts are computed in chunks beside the documents that decode."""

    _forward: CausalForward

    def _compute(self, newcomers: Sequence[Decoding]) -> None:
        for decoding in newcomers:
            self._apart([decoding], lambda some: self._enter(some[0]))
        chunks = {chunk.request.key: chunk for chunk in self.scheduler.chunks()}
        filling = [self._inside[key] for key in chunks]
        self._apart([*self._running(), *filling], lambda some: self._compute_some(some, chunks))

    def _compute_some(self, some: Sequence[Decoding], chunks: dict[Hashable, Chunk]) -> None:
        running = [decoding for decoding in some if decoding.is_active]
        filling = [(each, chunks[each.request.key]) for each in some if not each.is_active]
        ordered, logits = self._forward.step(running, filling)
        with self._landing():
            self._land(ordered, logits, running, filling)

    def _land(
        self,
        ordered: Sequence[Decoding],
        logits: Tensor,
        running: Sequence[Decoding],
        filling: Sequence[tuple[Decoding, Chunk]],
    ) -> None:
        self.counters["useful_tokens"] += sum(chunk.num_tokens for _, chunk in filling)
        for decoding, chunk in filling:
            decoding.request.prefilled_tokens = decoding.own.num_entries = chunk.start + chunk.num_tokens
            decoding.num_positions = decoding.own.num_entries
        for decoding in running:
            decoding.own.num_entries += decoding.own.width
            decoding.num_positions += 1
        going_on = self._choose(ordered, logits)
        self._forward.reorder([decoding for decoding in going_on if decoding.is_active])
        for decoding in going_on:
            if not decoding.is_active:
                self._forward.activate(decoding)
