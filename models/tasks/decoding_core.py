"""How a model decodes: continuously as far as that is proven, else by `generate`.

Pieces whose `data` is a `Prompt` go in, `Decoded` comes out. Texts that are one row each go by one
core, groups of rows (beams, several sampled sequences, every text of an encoder-decoder) by another.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from typing import Any

from models.batching.batch_core import BatchCore
from models.batching.begun import at_once
from models.batching.continuous_core import ContinuousCore
from models.batching.core import Core
from models.batching.generate import BatchDecoder
from models.batching.late_core import LateCore
from models.batching.plan import Piece
from models.batching.routed_core import RoutedCore
from models.decoding.core import PagedCore
from models.decoding.parameters.prompt import Prompt
from models.decoding.passes.arrangement import Layout
from models.decoding.passes.positions import adapt_positions
from models.decoding.proving.group_probe import GroupVerdict
from models.decoding.proving.probe import Verdict
from models.decoding.proving.proof import ALONE, Proof, prove
from models.decoding.scheduling.scheduler import Limits
from models.loading.registry import Family, LoadedModel
from models.proving.reference import Reference

logger = logging.getLogger(__name__)


def decoding_core(loaded: LoadedModel, limits: Limits | None = None) -> Core:
    """The core that suits a model.

    Args:
        loaded: the model.
        limits: of the device, if not the usual ones.

    Raises:
        CannotLoad: transformers itself cannot decode with this model.
    """
    adapt_positions(loaded.model)
    ways = _Ways(loaded, limits)
    if not loaded.device.is_cpu:
        return ways.on_cuda()
    return ways.rows_on_a_cpu() if loaded.family is Family.CAUSAL else ways.groups_on_a_cpu()


class _Ways:
    """The cores of one model."""

    def __init__(self, loaded: LoadedModel, limits: Limits | None) -> None:
        self._loaded = loaded
        self._limits = limits
        self._reference = Reference(loaded)
        self._is_causal = loaded.family is Family.CAUSAL

    def rows_on_a_cpu(self) -> Core:
        """Texts of one row as far as that is proven; groups, once they are needed, for what is left."""
        from models.decoding.factory import cpu_core  # compiles
        from models.decoding.proving.trial import agrees

        checks = {"pages": partial(agrees, self._loaded)}
        proof = prove(self._loaded, self._reference, checks, kind="decoding by pages")
        if proof.layout is None:
            return self._all_by_generate(proof)
        core = cpu_core(self._loaded, self._limits)
        others = LateCore(self.groups_on_a_cpu, {})
        return self._as_far_as_proven(core, proof, self._told_facts(proof), others)

    def groups_on_a_cpu(self) -> Core:
        """Groups as far as they are proven; `generate`, once it is needed, for what is left."""
        from models.decoding.group_factory import cpu_group_core  # compiles
        from models.decoding.proving.group_trial import agrees

        layouts = [Layout.ROWS] if self._is_causal else [Layout.ROWS, Layout.PACKED]
        checks = {layout.value: partial(agrees, self._loaded, layout) for layout in layouts}
        proof = prove(self._loaded, self._reference, checks, kind="decoding by groups")
        if proof.layout is None:
            return self._all_by_generate(proof)
        core = cpu_group_core(self._loaded, Layout(proof.layout), self._limits)
        others = LateCore(self._rest_by_generate, {})
        return self._as_far_as_proven(core, proof, self._told_facts(proof), others)

    def on_cuda(self) -> Core:
        """Both by graphs, as far as they are proven; `generate` for what is left."""
        from models.decoding.factory import paged_core  # needs Triton
        from models.decoding.group_factory import grouped_core

        plain = self._plain_proof()
        if plain.why is not None:
            return self._all_by_generate(plain)
        found: list[tuple[PagedCore | None, Verdict | GroupVerdict]] = [
            grouped_core(self._loaded, self._reference, self._limits)
        ]
        if self._is_causal:
            found.append(paged_core(self._loaded, self._reference, self._limits))
        proofs = [_proof_of(verdict, plain) for _, verdict in found]
        facts = self._told_facts(proofs[-1])  # what most documents go by
        others: Core = self._by_generate(plain, facts)
        for (core, verdict), proof in zip(found, proofs, strict=True):
            told = {"action": "graphs_proven", "model": self._loaded.spec.name, **asdict(verdict)}
            logger.info("%s: %s", type(verdict).__name__, "served" if core else "not served", extra=told)
            if core is not None:
                others = self._as_far_as_proven(core, proof, facts, others)
        return others

    def _as_far_as_proven(
        self, core: PagedCore, proof: Proof, facts: Mapping[str, Any], others: Core
    ) -> RoutedCore:
        limit = proof.proven_tokens

        def is_fast(piece: Piece) -> bool:
            prompt: Prompt = piece.data
            return (limit is None or self._longest(prompt) <= limit) and core.serves(prompt)

        return RoutedCore(ContinuousCore(core, facts), others, is_fast=is_fast)

    def _longest(self, prompt: Prompt) -> int:
        """Tokens of the longest sequence that an encoder or decoder may see of a prompt."""
        if self._is_causal:
            return len(prompt.input_ids) + prompt.max_new_tokens
        return max(len(prompt.input_ids), 1 + prompt.max_new_tokens)

    # By `generate`.

    def _all_by_generate(self, proof: Proof) -> Core:
        return self._by_generate(proof, self._told_facts(proof))

    def _rest_by_generate(self) -> Core:
        return self._by_generate(self._plain_proof(), {})

    def _by_generate(self, proof: Proof, facts: Mapping[str, Any]) -> BatchCore:
        decoder = BatchDecoder(self._loaded, self._reference, proof.batches or ALONE)
        return BatchCore(self._loaded.spec, at_once(decoder.decode), batch_key=decoder.group, facts=facts)

    def _plain_proof(self) -> Proof:
        return prove(self._loaded, self._reference, {}, kind="decoding by generate")

    # What people are told.

    def _told_facts(self, proof: Proof) -> dict[str, Any]:
        """The facts, in the log as well."""
        facts = _facts(self._loaded, proof)
        logger.log(
            logging.WARNING if "why" in facts else logging.INFO,
            "model decodes",
            extra={"action": "way_of_decoding", "model": self._loaded.spec.name, **facts},
        )
        return facts


def _proof_of(verdict: Verdict | GroupVerdict, plain: Proof) -> Proof:
    """What a probe has found out, beside how `generate` decodes."""
    if not verdict.proven_tokens:
        why = f"the engine does not suit this architecture ({verdict.why})"
        return replace(plain, layout=None, why=why)
    limit = verdict.proven_tokens if verdict.why else None
    return replace(plain, layout="pages", proven_tokens=limit, why=verdict.why)


def _facts(loaded: LoadedModel, proof: Proof) -> dict[str, Any]:
    """What people are told of a model's decoding."""
    facts: dict[str, Any] = {
        "way": "continuous" if proof.layout else proof.batches,
        "decoded_by": "textmill" if proof.layout else "transformers",
        "proven": True,
    }
    if proof.proven_tokens is not None:
        facts["proven_tokens"] = proof.proven_tokens
    sentences = [f"{note[0].upper()}{note[1:]}." for note in (_why(proof), *loaded.notes) if note]
    return {**facts, "why": " ".join(sentences)} if sentences else facts


def _why(proof: Proof) -> str | None:
    if proof.layout is None or proof.proven_tokens is None:
        return proof.why
    return f"longer documents go by transformers' generate, {proof.batches}: {proof.why}"
