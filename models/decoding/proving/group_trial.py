"""Does a model, on a CPU and by groups, say what `generate` says of each text alone?

The texts of a trial decode together, each by two beams. Given tokens follow a text in one beam and
others in the other, and at every step the beams change places: whoever looked at what a row has
written, and not at what it continues, would see the wrong tokens.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.decoding.group_factory import build_group_program, group_core
from models.decoding.parameters.options import OptionsMaker
from models.decoding.parameters.prompt import Prompt
from models.decoding.passes.arrangement import Layout
from models.decoding.passes.steps import EagerSteps
from models.decoding.proving.group_probe import REBUILT
from models.decoding.proving.trials import Trial, is_same
from models.decoding.scheduling import group_layout, layout
from models.decoding.scheduling.group import BeamParameters, Group
from models.decoding.scheduling.layout import Shape
from models.decoding.scheduling.pages import num_pages_for
from models.decoding.scheduling.scheduler import Limits
from models.decoding.tensors.group_state import GroupState
from models.decoding.tensors.state import BatchState
from models.loading.registry import Family, LoadedModel
from models.proving.reference import forgetting

logger = logging.getLogger(__name__)

_WIDTH = 2
#: Of the longest prompt, in a chunk: later chunks must see the earlier.
_CHUNK_SHARE, _LEAST_CHUNK = 3, 5


def agrees(loaded: LoadedModel, tried: Layout, trial: Trial, alone: Sequence[Tensor]) -> str | None:
    """Why a model is not decoded by groups with such a layout; None: it can be.

    Args:
        loaded: the model.
        tried: how an encoder-decoder's tokens are laid out.
        trial: the texts.
        alone: what `generate` says of each of them.
    """
    try:
        with forgetting(loaded.model):
            made_of = [*loaded.model.modules()]
            ours = _scores(loaded, tried, trial)
            if made_of != [*loaded.model.modules()]:
                return REBUILT
    except torch.AcceleratorError:
        raise
    except Exception as error:  # a model's own code may raise anything at all
        logger.debug("groups raised", exc_info=error, extra={"action": "groups_raised"})
        return f"{type(error).__name__}: {error}"
    return None if is_same(ours, alone, loaded.dtype) else "its answers differ from those of generate"


def _scores(loaded: LoadedModel, tried: Layout, trial: Trial) -> list[Tensor]:
    """Of each text (tokens that follow, vocabulary): before the first of them, before the second, ..."""
    num_new = len(trial.following[0])
    groups = [_group(loaded, trial, number, num_new) for number in range(len(trial.prompts))]
    limits = _limits(trial, groups)
    most_source = 0 if loaded.family is Family.CAUSAL else max(map(len, trial.prompts))
    program = build_group_program(loaded, limits, by="cpu", layout=tried, most_source=most_source)
    swapping = _Swapping(trial.following)
    program = replace(program, sampler=swapping)
    core = group_core(loaded, program, EagerSteps(program), limits)
    for group in groups:
        core.add_request(group)
    while core.has_work:
        for _, result in core.step():
            if isinstance(result, Exception):
                raise result
    return [
        torch.stack([swapping.scores[number, step] for step in range(num_new)])
        for number in range(len(groups))
    ]


def _group(loaded: LoadedModel, trial: Trial, number: int, num_new: int) -> Group:
    ids = np.asarray(trial.prompts[number], np.int32)
    is_causal = loaded.family is Family.CAUSAL
    return Group(
        key=number,
        input_ids=ids if is_causal else np.asarray(_start_ids(loaded, trial.prompts[number]), np.int32),
        source_ids=ids[:0] if is_causal else ids,
        max_new_tokens=num_new,
        beams=BeamParameters(num_beams=_WIDTH, num_candidates=2 * _WIDTH, early_stopping=0),
        seed=number,
    )


def _start_ids(loaded: LoadedModel, ids: list[int]) -> list[int]:
    params: dict[str, Any] = {"do_sample": False, "num_beams": 1, "num_return_sequences": 1}
    prompt = Prompt(input_ids=ids, max_new_tokens=1, params=params)
    return OptionsMaker(loaded.model, loaded.tokenizer).make(prompt).start_ids


def _limits(trial: Trial, groups: Sequence[Group]) -> Limits:
    longest, count = max(map(len, trial.prompts)), len(groups)
    has_sources = any(len(group.source_ids) for group in groups)
    # Sources are read together, padded to the longest: for some encoders that is not neutral.
    chunk = longest * count if has_sources else max(_LEAST_CHUNK, longest // _CHUNK_SHARE)
    pages = sum(group.num_rows * num_pages_for(group.max_entries) for group in groups)
    pages += sum(num_pages_for(len(prompt)) for prompt in trial.prompts)
    return Limits(
        max_rows=_WIDTH * count,
        num_pages=2 * pages + 2,
        max_entries=max(group.max_entries for group in groups),
        chunk_sizes=(chunk,),
        is_exact=True,
    )


class _Swapping:
    """A chooser that lets given tokens follow, and keeps the scores it sees by text and step."""

    provenance: Mapping[str, str] = {}

    def __init__(self, following: Sequence[Sequence[int]]) -> None:
        self.scores: dict[tuple[int, int], Tensor] = {}
        self._following = following

    def choose(self, state: BatchState, shape: Shape, scores: Tensor) -> None:
        """The beam of the given tokens changes with each step."""
        assert isinstance(state, GroupState)
        seats = state.seats[: shape.num_rows].long()
        for row in range(0, shape.num_rows, _WIDTH):
            members = seats[row : row + _WIDTH]
            leader = state.rows[members[0]]
            text, position = leader[[layout.SEED_LOW, layout.POSITION]].tolist()
            step = position - int(leader[state.first_column + group_layout.FIRST_POSITION])
            self.scores[text, step] = scores[row + step % _WIDTH].float()
            other = self._following[(text + 1) % len(self._following)]
            tokens = [self._following[text][step], other[step]]
            state.rows[members, layout.TOKEN] = torch.tensor(
                tokens if step % _WIDTH else tokens[::-1], dtype=torch.int32
            )
            self._go_on(state, slice(row, row + _WIDTH), members, position, step + 1)

    def _go_on(self, state: GroupState, rows: slice, members: Tensor, position: int, length: int) -> None:
        is_last = length == len(self._following[0])
        state.inherit(members, members.flip(0), torch.full((_WIDTH,), position))
        state.rows[members, layout.POSITION] += 1
        state.rows[members, layout.IS_DONE] = int(is_last)
        said = state.said[rows]
        said[:] = 0
        said[:, group_layout.SAID_TOKEN] = state.rows[members, layout.TOKEN]
        said[:, group_layout.SAID_PARENT] = torch.tensor([1, 0])
        said[:, group_layout.SAID_LENGTH] = length
        said[0, group_layout.SAID_DONE] = int(is_last)
