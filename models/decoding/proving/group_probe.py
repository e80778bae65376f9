"""Does a model, through the group core, say of every beam what its own plain forward pass says?

Texts of several lengths decode together, each by several beams, so that beams inherit from each
other and share what their ancestors wrote. The scores that each token was chosen from are held
against the model's own, computed plainly, one sequence at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.decoding.group_core import GroupCore
from models.decoding.passes.arrangement import Layout
from models.decoding.passes.steps import Program
from models.decoding.proving.probe import TOLERANCE, difference
from models.decoding.sampling.interface import Sampler
from models.decoding.scheduling import group_layout, layout
from models.decoding.scheduling.group import BeamParameters, Group
from models.decoding.scheduling.layout import Shape
from models.decoding.scheduling.pages import num_pages_for
from models.decoding.scheduling.scheduler import Limits
from models.decoding.tensors.group_state import GroupState
from models.decoding.tensors.state import BatchState
from models.loading.registry import Family, LoadedModel
from models.proving.reference import Reference, forgetting, vocabulary_size
from models.proving.switches import Switch, find_switches

logger = logging.getLogger(__name__)

_LENGTHS = (1, 16, 33, 70)  # of prompts or sources: a page more or less
_WIDTHS = (3, 1, 2, 4)
_NEW_TOKENS = 20  # beyond the end of a page
_BEYOND = 8  # tokens past a length from which a model computes otherwise
#: Switches up to these lengths are crossed; the first longer one bounds what is proven.
_LONGEST_READ, _LONGEST_DECODED = 2048, 120

#: BigBird draws new layers once a text was short, out of the stream of random numbers of whoever samples.
REBUILT = "it puts other modules in its own place while it computes"

Build = Callable[[Layout], Program]
MakeCore = Callable[[Program, Limits], GroupCore]


@dataclass(frozen=True)
class GroupVerdict:
    """Up to which number of tokens a model is served, read or decoded; 0: it is not."""

    proven_tokens: int
    why: str | None = None  #: not all lengths
    layout: str = Layout.ROWS.value  #: of an encoder-decoder's tokens
    is_eager: bool = False  #: steps read on the host, and no graph does that
    is_fused: bool = False  #: with fused kernels inside


def prove_groups(
    loaded: LoadedModel, reference: Reference, build: Build, make_core: MakeCore, limits: Limits
) -> GroupVerdict:
    """Tries a model, an encoder-decoder by each layout of its tokens."""
    reasons = []
    for tried in [Layout.ROWS] if loaded.family is Family.CAUSAL else [Layout.ROWS, Layout.PACKED]:
        found = _Trial(loaded, reference, limits).verdict(partial(build, tried), make_core)
        if found.proven_tokens:
            return replace(found, layout=tried.value)
        reasons.append(str(found.why))
    return GroupVerdict(0, "; ".join(dict.fromkeys(reasons)))


class _Trial:
    def __init__(self, loaded: LoadedModel, reference: Reference, limits: Limits) -> None:
        self._loaded, self._reference = loaded, reference
        self._is_causal = loaded.family is Family.CAUSAL
        switches = find_switches(loaded.config.to_dict())
        self._shared = next((switch for switch in switches if switch.is_shared), None)
        if self._shared is not None:
            limits = replace(limits, max_entries=min(limits.max_entries, self._shared.length))
        most = _LONGEST_READ if self._is_causal else _LONGEST_DECODED
        longest = limits.max_entries - _NEW_TOKENS
        fitting = [switch for switch in switches if switch.length < limits.max_entries]
        crossed = [each for each in fitting if each.length + _BEYOND <= min(most, longest)]
        self._open: Switch | None = next((each for each in fitting if each not in crossed), None)
        beyond = [switch.length + _BEYOND for switch in crossed]
        self._lengths = sorted({*(each for each in _LENGTHS if each <= longest), *beyond})
        decoded = 0 if self._is_causal else max(beyond, default=0)
        self._num_new = max(min(_NEW_TOKENS, limits.max_entries), decoded)
        self._limits = limits

    def verdict(self, build: Callable[[], Program], make_core: MakeCore) -> GroupVerdict:
        """What comes of it."""
        if self._loaded.dtype not in TOLERANCE:
            return GroupVerdict(0, f"its weights are {self._loaded.dtype}")
        if not self._lengths:
            return GroupVerdict(0, f"beyond {self._shared} documents would change each other")
        try:
            with forgetting(self._loaded.model):
                made_of = [*self._loaded.model.modules()]
                program = build()
                worst, is_fused = self._worst(program, make_core), program.forward.is_fused
                if is_fused and not worst <= TOLERANCE[self._loaded.dtype]:
                    program.forward.leave_plain()
                    worst, is_fused = self._worst(program, make_core), False
                if made_of != [*self._loaded.model.modules()]:
                    return GroupVerdict(0, REBUILT)
        except torch.AcceleratorError:
            raise
        except Exception as error:  # a model's own code may raise anything at all
            logger.info("model does not fit", extra={"action": "model_does_not_fit", "reason": repr(error)})
            return GroupVerdict(0, f"its code raised {type(error).__name__}: {error}")
        if not worst <= TOLERANCE[self._loaded.dtype]:
            return GroupVerdict(0, f"its scores come out otherwise, by {worst:.2g} of their spread")
        verdict = GroupVerdict(self._limits.max_entries, is_eager=self._shared is not None, is_fused=is_fused)
        if self._open is not None:
            why = f"beyond {self._open} nothing is proven"
            return replace(verdict, proven_tokens=self._open.length, why=why)
        if self._shared is not None:
            return replace(verdict, why=f"beyond {self._shared} documents would change each other")
        return verdict

    def _worst(self, program: Program, make_core: MakeCore) -> float:
        """Between our scores and the model's own, over each text's first and last beam."""
        watched = _Watched(program.sampler)
        tried = replace(program, sampler=watched)
        per_text = num_pages_for(max(self._lengths) + self._num_new) * max(_WIDTHS)
        few = replace(self._limits, num_pages=2 * per_text * len(self._lengths))
        core = make_core(tried, few)
        groups = self._groups()
        for group in groups:
            core.add_request(group)
        failures = []
        while core.has_work:
            failures += [result for _, result in core.step() if isinstance(result, Exception)]
        if failures:
            raise failures[0]
        return max(self._differences(group, watched) for group in groups)

    def _groups(self) -> list[Group]:
        draw = np.random.default_rng(0)
        start = 0
        if not self._is_causal:
            config: Any = self._loaded.model.generation_config
            start = int(config.decoder_start_token_id or config.bos_token_id or 0)
        vocabulary = vocabulary_size(self._loaded)
        groups = []
        for number, length in enumerate(self._lengths):
            width = _WIDTHS[number % len(_WIDTHS)]
            if self._is_causal:
                width = max(2, width)
            ids = draw.integers(0, vocabulary, length).astype(np.int32)
            groups.append(
                Group(
                    key=number,
                    input_ids=ids if self._is_causal else np.array([start], np.int32),
                    source_ids=ids[:0] if self._is_causal else ids,
                    max_new_tokens=self._num_new,
                    beams=BeamParameters(num_beams=width, num_candidates=2 * width, early_stopping=0),
                    seed=number + 1,
                )
            )
        return groups

    def _differences(self, group: Group, watched: _Watched) -> float:
        found = []
        for beam in {0, group.num_rows - 1}:
            chain = watched.chains[group.seed, beam]
            assert len(chain) == self._num_new, "no token ends these"
            tokens = [token for _, token in chain]
            plain = self._plainly(group, tokens[:-1])
            found.append(difference(torch.stack([scores for scores, _ in chain]), plain))
        return max(found)

    @torch.inference_mode()
    def _plainly(self, group: Group, tokens: Sequence[int]) -> Tensor:
        """The model's own scores, (new tokens, vocabulary)."""
        model: Any = self._loaded.model
        device = self._loaded.device.torch
        decoded = torch.tensor([[*group.input_ids.tolist(), *tokens]], device=device)
        with self._reference.as_loaded():
            if self._is_causal:
                logits: Tensor = model(input_ids=decoded, use_cache=False).logits
            else:
                source = torch.tensor([group.source_ids.tolist()], device=device)
                logits = model(input_ids=source, decoder_input_ids=decoded, use_cache=False).logits
        return logits[0, -self._num_new :]


class _Watched:
    """A chooser that keeps, for each beam, the tokens of its sequence and the scores that each came from."""

    def __init__(self, chooser: Sampler) -> None:
        #: by seed and beam, once a search has ended
        self.chains: dict[tuple[int, int], list[tuple[Tensor, int]]] = {}
        self.provenance = chooser.provenance
        self._chooser = chooser

    def choose(self, state: BatchState, shape: Shape, scores: Tensor) -> None:
        assert isinstance(state, GroupState)
        count = shape.num_rows
        rows = state.rows[state.seats[:count].long()].tolist()
        kept = scores[:, : state.vocabulary].float().clone()
        self._chooser.choose(state, shape, scores)
        said = state.said[:count].tolist()
        chosen = {}
        for number, (row, line) in enumerate(zip(rows, said, strict=True)):
            if line[group_layout.SAID_TOKEN] == layout.NOTHING:
                continue
            seed, beam = row[layout.SEED_LOW], row[state.first_column + group_layout.BEAM]
            parent = line[group_layout.SAID_PARENT]
            before = self.chains.get((seed, parent), [])
            is_first = line[group_layout.SAID_LENGTH] == 1
            step = (kept[number - beam + parent], line[group_layout.SAID_TOKEN])
            chosen[seed, beam] = [step] if is_first else [*before, step]
        self.chains |= chosen
