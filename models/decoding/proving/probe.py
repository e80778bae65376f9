"""Does a model, through this engine, say what its own plain forward pass says?

Texts of several lengths decode together through the engine, their prompts cut into chunks, one
of them beyond the window that the configuration names. The scores of every step are held
against the model's own, computed plainly, one text at a time.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.decoding.core import PagedCore
from models.decoding.parameters.columns import SamplingMaker
from models.decoding.parameters.prompt import Decoded
from models.decoding.passes.steps import EagerSteps, Program
from models.decoding.sampling.interface import Sampler
from models.decoding.scheduling.layout import POSITION, SEED_LOW, Shape
from models.decoding.scheduling.pages import num_pages_for
from models.decoding.scheduling.request import Request
from models.decoding.scheduling.scheduler import Limits
from models.decoding.tensors.state import BatchState
from models.loading.registry import LoadedModel
from models.proving.reference import Reference
from models.proving.switches import find_switches

logger = logging.getLogger(__name__)

#: How far scores may be apart, as a share of their spread: rounding, not a wrong position.
TOLERANCE = {"float32": 1e-3, "float16": 0.02, "bfloat16": 0.08}
_LENGTHS = (1, 16, 33, 70)  # of prompts: a page more or less, several chunks
_NEW_TOKENS = 20  # beyond the end of a page
_CHUNK_SIZES = (16, 64)
_BEYOND = 8  # tokens past a length from which a model computes otherwise
#: Windows up to this length are crossed; the first longer one bounds what is proven.
_LONGEST_TRIED = 4096


@dataclass(frozen=True)
class Verdict:
    """Up to which number of tokens a model is served; 0: it is not."""

    proven_tokens: int
    why: str | None = None  #: not all lengths
    is_fused: bool = False  #: with fused kernels inside
    is_eager: bool = False  #: steps read on the host, and no graph does that


def prove(loaded: LoadedModel, reference: Reference, program: Program, limits: Limits) -> Verdict:
    """Tries a model, with fused kernels and, where it does not come out right with them, without."""
    is_fused = program.forward.is_fused
    verdict = _try(loaded, reference, program, limits)
    if not is_fused or verdict.proven_tokens:
        return replace(verdict, is_fused=is_fused)
    program.forward.leave_plain()
    return _try(loaded, reference, program, limits)


def _try(loaded: LoadedModel, reference: Reference, program: Program, limits: Limits) -> Verdict:
    switches = find_switches(loaded.config.to_dict())
    shared = next((switch for switch in switches if switch.is_shared), None)
    if loaded.dtype not in TOLERANCE:
        return Verdict(0, f"its weights are {loaded.dtype}")
    most = limits.max_entries if shared is None else min(limits.max_entries, shared.length)
    longest = most - _NEW_TOKENS
    if longest < 1:
        return Verdict(0, f"beyond {shared} documents would change each other")
    lengths = {length for length in _LENGTHS if length <= longest}
    crossed = {switch: switch.length + _BEYOND for switch in switches if switch.length <= _LONGEST_TRIED}
    lengths |= {length for length in crossed.values() if length <= longest}
    try:
        worst = _worst_difference(loaded, reference, program, limits, sorted(lengths))
    except Exception as error:  # a model's own code may raise anything at all
        logger.info("model does not fit", extra={"action": "model_does_not_fit", "reason": repr(error)})
        return Verdict(0, f"its code raised {type(error).__name__}: {error}")
    if not worst <= TOLERANCE[loaded.dtype]:
        return Verdict(0, f"its scores come out otherwise, by {worst:.2g} of their spread")
    open_ones = [each for each in switches if crossed.get(each) not in lengths and each.length < most]
    if open_ones:
        return Verdict(
            open_ones[0].length, f"beyond {open_ones[0]} nothing is proven", is_eager=shared is not None
        )
    if shared is not None:
        return Verdict(most, f"beyond {shared} documents would change each other", is_eager=True)
    return Verdict(most)


def _worst_difference(
    loaded: LoadedModel, reference: Reference, program: Program, limits: Limits, lengths: Sequence[int]
) -> float:
    """Between our scores and the model's own, over every step of every text."""
    watched = _Watched(program.sampler)
    tried = replace(program, sampler=watched)
    sizes = tuple(size for size in _CHUNK_SIZES if size <= limits.chunk_sizes[-1]) or limits.chunk_sizes[:1]
    num_pages = sum(num_pages_for(length + _NEW_TOKENS) for length in lengths) + 1
    few = replace(limits, num_pages=num_pages * 2, chunk_sizes=sizes)
    core = PagedCore(tried, EagerSteps(tried, is_ahead=not limits.is_exact), few, SamplingMaker(loaded))
    requests = _requests(program.state.vocabulary, lengths)
    for request in requests:
        core.add_request(request)
    decoded: dict[Any, Decoded] = {}
    while core.has_work:
        for key, result in core.step():
            if not isinstance(result, Decoded):
                raise result
            decoded[key] = result
    differences = []
    for request in requests:
        ids = [*request.input_ids.tolist(), *decoded[request.key].sequences[0]]
        last = len(request.input_ids) - 1
        ours = [watched.scores[request.seed, last + step] for step in range(_NEW_TOKENS)]
        differences.append(difference(torch.stack(ours), _plainly(loaded, reference, ids[:-1])))
    return max(differences)


def _requests(vocabulary: int, lengths: Sequence[int]) -> list[Request]:
    draw = np.random.default_rng(0)
    return [
        Request(
            key=number,
            input_ids=draw.integers(0, vocabulary, length).astype(np.int32),
            max_new_tokens=_NEW_TOKENS,
            seed=number,
        )
        for number, length in enumerate(lengths, 1)
    ]


class _Watched:
    """A sampler that keeps the scores it sees, by their rows' seed and the position fed."""

    def __init__(self, sampler: Sampler) -> None:
        self.scores: dict[tuple[int, int], Tensor] = {}
        self._sampler = sampler
        self.provenance = sampler.provenance

    def choose(self, state: BatchState, shape: Shape, scores: Tensor) -> None:
        rows = state.rows[state.seats[: shape.num_rows].long()]
        for row, (seed, position) in enumerate(rows[:, [SEED_LOW, POSITION]].tolist()):
            self.scores[seed, position] = scores[row, : state.vocabulary].float()
        self._sampler.choose(state, shape, scores)


@torch.inference_mode()
def _plainly(loaded: LoadedModel, reference: Reference, ids: Sequence[int]) -> Tensor:
    """The model's own scores after the last tokens of a text, (new tokens, vocabulary)."""
    model: Any = loaded.model
    few = "logits_to_keep" in inspect.signature(model.forward).parameters
    options = {"logits_to_keep": _NEW_TOKENS} if few else {}
    with reference.as_loaded():
        tokens = torch.tensor([ids], device=loaded.device.torch)
        logits: Tensor = model(input_ids=tokens, use_cache=False, **options).logits[0, -_NEW_TOKENS:]
    return logits


def difference(ours: Tensor, plain: Tensor) -> float:
    """How far scores (tokens, vocabulary) are apart at most, as a share of their spread."""
    plain = plain.float()
    spread = (plain - plain.mean(dim=-1, keepdim=True)).norm(dim=-1)
    return float(((ours - plain).norm(dim=-1) / spread).max())
