"""How a model decodes: continuously as far as that is proven, else by `generate`.

Pieces whose `data` is a `Prompt` go in, `Decoded` comes out.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, cast

from models.batching.batch_core import BatchCore
from models.batching.core import Core, Result
from models.batching.generate import BatchDecoder
from models.batching.late_core import LateCore
from models.batching.plan import Piece
from models.batching.routed_core import RoutedCore
from models.decoding.core import PagedCore
from models.decoding.first.causal import CausalCore, CausalForward
from models.decoding.first.core import DecodingCore
from models.decoding.first.cross import CrossCore
from models.decoding.first.limits import limits_for
from models.decoding.group_core import GroupCore
from models.decoding.parameters.prompt import Prompt
from models.decoding.passes.arrangement import Layout
from models.decoding.passes.positions import adapt_positions
from models.decoding.proving.fitting import forward_of, group_layouts_of
from models.decoding.proving.proof import ALONE, Proof, prove
from models.loading.registry import Family, LoadedModel
from models.proving.reference import Reference

logger = logging.getLogger(__name__)


def decoding_core(loaded: LoadedModel) -> Core:
    """The core that suits a model.

    Raises:
        CannotLoad: transformers itself cannot decode with this model.
    """
    adapt_positions(loaded.model)
    reference = Reference(loaded)
    if loaded.device.is_cpu:
        by_pages = _by_pages_on_a_cpu if loaded.family is Family.CAUSAL else _by_groups_on_a_cpu
        return by_pages(loaded, reference)
    core = _proven_core(loaded, reference)
    core = _by_groups_first(loaded, reference, core)
    return _by_pages_first(loaded, reference, core) if loaded.family is Family.CAUSAL else core


def _by_pages_on_a_cpu(loaded: LoadedModel, reference: Reference) -> Core:
    """Single rows by pages as far as that is proven; groups, once they are needed, for what is left."""
    from models.decoding.factory import cpu_core  # compiles
    from models.decoding.proving.trial import agrees

    proof = prove(loaded, reference, {"pages": partial(agrees, loaded)}, kind="decoding by pages")
    if proof.layout is None:
        return _proven_core(loaded, reference)
    facts = _told_facts(loaded, proof)
    others = LateCore(lambda: _by_groups_on_a_cpu(loaded, reference), facts)
    return _as_far_as_proven(loaded, cpu_core(loaded), proof, facts, others)


def _by_groups_on_a_cpu(loaded: LoadedModel, reference: Reference) -> Core:
    """Beams and encoder-decoders likewise; the first engine, once it is needed, for what is left."""
    from models.decoding.group_factory import cpu_group_core  # compiles
    from models.decoding.proving.group_trial import agrees

    layouts = {layout.value: partial(agrees, loaded, layout) for layout in group_layouts_of(loaded)}
    proof = prove(loaded, reference, layouts, kind="decoding by groups")
    if proof.layout is None:
        return _proven_core(loaded, reference)
    facts = _told_facts(loaded, proof)
    others = LateCore(lambda: _proven_core(loaded, reference), facts)
    return _as_far_as_proven(loaded, cpu_group_core(loaded, Layout(proof.layout)), proof, facts, others)


def _as_far_as_proven(
    loaded: LoadedModel, fast: PagedCore, proof: Proof, facts: Mapping[str, Any], others: Core
) -> Core:
    limit, is_causal = proof.proven_tokens, loaded.family is Family.CAUSAL
    return RoutedCore(
        ContinuousCore(fast, facts),
        others,
        is_fast=lambda piece: (
            (limit is None or _longest(piece.data, is_causal=is_causal) <= limit) and fast.serves(piece.data)
        ),
    )


def _by_pages_first(loaded: LoadedModel, reference: Reference, other: Core) -> Core:
    """On CUDA, documents decode by pages and graphs; `other` takes those that this does not serve."""
    from models.decoding.factory import paged_core  # needs Triton

    paged, verdict = paged_core(loaded, reference)
    return _first(paged, other, what="paged_decoding", model=loaded.spec.name, **asdict(verdict))


def _by_groups_first(loaded: LoadedModel, reference: Reference, other: Core) -> Core:
    """On CUDA, beams and encoder-decoders likewise."""
    from models.decoding.group_factory import grouped_core  # needs Triton

    grouped, verdict = grouped_core(loaded, reference)
    return _first(grouped, other, what="grouped_decoding", model=loaded.spec.name, **asdict(verdict))


def _first(fast: PagedCore | GroupCore | None, other: Core, *, what: str, **told: Any) -> Core:
    """The fast engine for what it serves, if there is one, and `other` for the rest; the log says which."""
    logger.info("%s: %s", what, "yes" if fast else "no", extra={"action": what, **told})
    if fast is None:
        return other
    return RoutedCore(ContinuousCore(fast, other.facts), other, is_fast=lambda piece: fast.serves(piece.data))


def _proven_core(loaded: LoadedModel, reference: Reference) -> Core:
    """The engine for all devices as far as it is proven, else `generate`."""
    proof = prove(loaded, reference)
    facts = _told_facts(loaded, proof)
    if proof.layout is None:
        return _by_generate(loaded, reference, proof, facts)
    fast = _continuously(loaded, proof, facts)
    if proof.proven_tokens is None:
        return fast
    limit = proof.proven_tokens
    is_causal = not reference.is_encoder_decoder
    return RoutedCore(
        fast,
        _by_generate(loaded, reference, proof, facts),
        is_fast=lambda piece: _longest(piece.data, is_causal=is_causal) <= limit,
    )


def _told_facts(loaded: LoadedModel, proof: Proof) -> dict[str, Any]:
    """The facts, in the log as well."""
    facts = _facts(loaded, proof)
    logger.log(
        logging.WARNING if "why" in facts else logging.INFO,
        "model decodes",
        extra={"action": "way_of_decoding", "model": loaded.spec.name, **facts},
    )
    return facts


def _by_generate(
    loaded: LoadedModel, reference: Reference, proof: Proof, facts: Mapping[str, Any]
) -> BatchCore:
    decoder = BatchDecoder(loaded, reference, proof.batches or ALONE)
    return BatchCore(loaded.spec, decoder.decode, batch_key=decoder.group, facts=facts)


def _continuously(loaded: LoadedModel, proof: Proof, facts: Mapping[str, Any]) -> ContinuousCore:
    forward, limits = forward_of(loaded, Layout(proof.layout)), limits_for(loaded)
    if isinstance(forward, CausalForward):
        return ContinuousCore(CausalCore(loaded, forward, limits), facts)
    return ContinuousCore(CrossCore(loaded, forward, limits), facts)


def _longest(prompt: Prompt, *, is_causal: bool) -> int:
    """Tokens of the longest sequence that an encoder or decoder may see of a prompt."""
    if is_causal:
        return len(prompt.input_ids) + prompt.max_new_tokens
    return max(len(prompt.input_ids), 1 + prompt.max_new_tokens)


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


class ContinuousCore:
    """The decoding engine as a core of pieces."""

    def __init__(self, core: DecodingCore | PagedCore, facts: Mapping[str, Any]) -> None:
        self.facts = facts
        self._core = core
        self._pieces: defaultdict[Hashable, dict[int, Piece]] = defaultdict(dict)  # by document

    @property
    def counters(self) -> dict[str, int]:
        """Counters of the engine."""
        return self._core.counters

    @property
    def max_window(self) -> int:
        """About what begins in the next steps: who comes later is weighed against newcomers then."""
        return max(8, self._core.scheduler.limits.max_rows // 2)

    def wants(self, priority: float) -> bool:
        """Whether few wait before documents of this priority."""
        scheduler = self._core.scheduler
        waiting = scheduler.best_waiting_priority
        return waiting is None or priority < waiting or scheduler.num_waiting < self.max_window

    def add(self, pieces: Sequence[Piece], priority: float) -> None:
        """Queues prompts."""
        for piece in pieces:
            self._pieces[piece.key][piece.index] = piece
            self._core.add((piece.key, piece.index), piece.data, priority=priority)

    def discard(self, keys: Collection[Hashable]) -> None:
        """Forgets documents."""
        inside = [(key, index) for key in keys for index in self._pieces.pop(key, ())]
        self._core.discard(inside)

    def step(self) -> list[Result]:
        """The next token of everything inside."""
        results: list[Result] = []
        for place, result in self._core.step():
            key, index = cast("tuple[Hashable, int]", place)
            results.append((self._pieces[key].pop(index), result))
        return results

    def close(self) -> None:
        """Drops everything."""
        self._pieces.clear()
        self._core.clear()
