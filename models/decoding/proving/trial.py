"""Does a model, on a CPU and by pages, say what `generate` says of each text alone?

The texts of a trial decode together, their prompts cut into chunks, and given tokens follow them.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from models.decoding.core import PagedCore
from models.decoding.factory import build_program
from models.decoding.passes.steps import EagerSteps
from models.decoding.proving.trials import Trial, is_same
from models.decoding.scheduling.layout import IS_DONE, POSITION, SEED_LOW, TOKEN, Shape
from models.decoding.scheduling.pages import num_pages_for
from models.decoding.scheduling.request import Request
from models.decoding.scheduling.scheduler import Limits
from models.decoding.tensors.state import BatchState
from models.loading.registry import LoadedModel
from models.proving.reference import forgetting

logger = logging.getLogger(__name__)

#: Of the longest prompt, in a chunk: later chunks must see the earlier.
_CHUNK_SHARE, _LEAST_CHUNK = 3, 5


def agrees(loaded: LoadedModel, trial: Trial, alone: Sequence[Tensor]) -> str | None:
    """Why a model is not decoded by pages; None: it can be.

    Args:
        loaded: the model.
        trial: the texts.
        alone: what `generate` says of each of them.
    """
    try:
        with forgetting(loaded.model):
            ours = _scores(loaded, trial)
    except torch.AcceleratorError:
        raise
    except Exception as error:  # a model's own code may raise anything at all
        logger.debug("pages raised", exc_info=error, extra={"action": "pages_raised"})
        return f"{type(error).__name__}: {error}"
    return None if is_same(ours, alone, loaded.dtype) else "its answers differ from those of generate"


def _scores(loaded: LoadedModel, trial: Trial) -> list[Tensor]:
    """Of each text (tokens that follow, vocabulary): before the first of them, before the second, ..."""
    num_new = len(trial.following[0])
    longest = max(map(len, trial.prompts))
    pages = sum(num_pages_for(len(prompt) + num_new) for prompt in trial.prompts)
    limits = Limits(
        max_rows=len(trial.prompts),
        num_pages=2 * pages + 2,
        max_entries=longest + num_new,
        chunk_sizes=(max(_LEAST_CHUNK, longest // _CHUNK_SHARE),),
        is_exact=True,
    )
    program = build_program(loaded, limits, by="cpu")
    following = _Following(trial.following)
    tried = replace(program, sampler=following)
    core = PagedCore(tried, EagerSteps(tried), limits, None)
    for number, prompt in enumerate(trial.prompts):
        core.add_request(
            Request(key=number, input_ids=np.asarray(prompt, np.int32), max_new_tokens=num_new, seed=number)
        )
    while core.has_work:
        for _, result in core.step():
            if isinstance(result, Exception):
                raise result
    firsts = [len(prompt) - 1 for prompt in trial.prompts]
    return [
        torch.stack([following.scores[number, first + step] for step in range(num_new)])
        for number, first in enumerate(firsts)
    ]


class _Following:
    """A sampler that lets given tokens follow, and keeps the scores it sees by text and position fed."""

    provenance: Mapping[str, str] = {}

    def __init__(self, following: Sequence[Sequence[int]]) -> None:
        self.scores: dict[tuple[int, int], Tensor] = {}
        self._following = [list(ids) for ids in following]

    def choose(self, state: BatchState, shape: Shape, scores: Tensor) -> None:
        for row, seat in enumerate(state.seats[: shape.num_rows].tolist()):
            text, position = state.rows[seat, [SEED_LOW, POSITION]].tolist()
            self.scores[text, position] = scores[row].float()
            step = sum(known == text for known, _ in self.scores) - 1
            token, is_last = self._following[text][step], step + 1 == len(self._following[text])
            state.rows[seat, TOKEN] = token
            state.rows[seat, POSITION] += 1
            state.rows[seat, IS_DONE] = int(is_last)
            state.chosen[row] = -1 - token if is_last else token
