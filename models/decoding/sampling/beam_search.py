"""Beam search for one document on the host, step by step as transformers does it.

The device picks the best continuations of all beams, or draws them; which of them go on, which
are finished and when to stop is decided here, on a handful of numbers. Follows `_beam_search`
of `generation/utils.py` (transformers 5.24), scores in float32 as there, so that the
same sequences win by the same scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.decoding.parameters.options import Options
from models.decoding.parameters.prompt import Decoded
from models.decoding.sampling.finite import check_finite
from models.errors import InvalidParameter

_NEVER = np.float32(-1e9)  #: transformers' score of a beam that must not win


@dataclass(frozen=True, slots=True)
class Candidate:
    """One continuation of one beam."""

    score: float  #: sum of log probabilities, a float32 value
    beam: int
    token: int


class BeamSearch:
    """The beams of one document and the sequences they have finished."""

    def __init__(self, options: Options, device: torch.device) -> None:
        self.options = options
        self.width = options.num_beams
        self.live = list(range(self.width))
        #: which beam each beam continues since the last step; None before the first
        self.parents: list[int] | None = None
        self.beams: list[list[int]] = [[] for _ in range(self.width)]
        #: all begin alike: only the first may be continued, or every beam would be the same
        self.scores: list[float] = [0.0] + [float(_NEVER)] * (self.width - 1)
        #: the best `width`, best first; None where there are not so many yet
        self._finished: list[tuple[float, list[int] | None]] = [(float(_NEVER), None)] * self.width
        self.is_done = False
        config = options.config
        self._length_penalty = 1.0 if config.length_penalty is None else float(config.length_penalty)
        self._early_stopping: bool | str = config.early_stopping or False
        self.generator: torch.Generator | None = None
        if options.is_sampled:
            self.generator = torch.Generator(device).manual_seed(options.prompt.seed or 0)

    @property
    def num_candidates(self) -> int:
        """Continuations to pick: enough that as many as there are beams do not end."""
        return max(2, 1 + self.options.num_end_ids) * self.width

    @property
    def next_tokens(self) -> list[int]:
        """What each beam continues from."""
        return [beam[-1] for beam in self.beams]

    def candidates(self, scores: Tensor) -> list[Candidate]:
        """The best continuations of all beams, or drawn ones, best first.

        Args:
            scores: (beams, vocabulary) log probabilities, processed.

        Raises:
            InvalidParameter: there are not so many.
            NotFinite: the best is no number.
        """
        running = torch.tensor(self.scores, device=scores.device)
        flat, size = (scores + running[:, None]).flatten(), scores.shape[-1]
        if self.num_candidates > len(flat):
            raise InvalidParameter(
                f"a beam search with so many beams and end tokens needs {self.num_candidates} continuations "
                f"to choose from, and the vocabulary gives {len(flat)}: ask for fewer beams"
            )
        if self.generator is None:
            best, places = flat.topk(self.num_candidates)
        else:
            shares = torch.softmax(flat, dim=-1)
            drawn = torch.multinomial(shares, num_samples=self.num_candidates, generator=self.generator)
            best, order = flat[drawn].sort(descending=True)
            places = drawn[order]
        check_finite(float(best[0]))
        return [
            Candidate(score, place // size, place % size)
            for score, place in zip(best.tolist(), places.tolist(), strict=True)
        ]

    def proposed(self, candidates: Sequence[Candidate]) -> list[list[int]]:
        """The sequences that candidates make, start included."""
        start = self.options.start_ids
        return [[*start, *self.beams[each.beam], each.token] for each in candidates]

    def accept(self, candidates: Sequence[Candidate], ends: Sequence[bool]) -> None:
        """Takes the best continuations, best first; `ends` says which a stop string completes."""
        length = len(self.beams[0]) + 1
        is_last = length >= self.options.prompt.max_new_tokens
        ended = [
            is_end or is_last or each.token in self.options.end_ids
            for each, is_end in zip(candidates, ends, strict=True)
        ]
        self._finish(candidates, ended, length)
        self._go_on(candidates, ended)
        self.is_done = all(ended) or self._is_full_early() or not self._can_improve(length)

    def result(self) -> Decoded:
        """The best finished sequences."""
        finished = [tokens for _, tokens in self._finished if tokens is not None]
        best = finished[: self.options.num_returned]
        return Decoded(
            sequences=best, is_stopped=[bool(ids) and ids[-1] in self.options.end_ids for ids in best]
        )

    def _finish(self, candidates: Sequence[Candidate], ended: Sequence[bool], length: int) -> None:
        """Only the best `width` may finish; the others are there so that enough go on."""
        if self._is_full_early():
            return
        penalty = np.float32(length**self._length_penalty)
        new: list[tuple[float, list[int] | None]] = []
        for number, (each, is_end) in enumerate(zip(candidates, ended, strict=True)):
            score = np.float32(each.score) / penalty
            if is_end and number < self.width:
                new.append((float(score), [*self.beams[each.beam], each.token]))
            else:
                new.append((float(score + _NEVER), None))
        merged = [*self._finished, *new]
        # Of equal scores, as those of several forced ends are, transformers takes what `topk` takes first.
        order = torch.tensor([score for score, _ in merged]).topk(self.width).indices
        self._finished = [merged[place] for place in order.tolist()]

    def _go_on(self, candidates: Sequence[Candidate], ended: Sequence[bool]) -> None:
        """The best that have not ended; when too few are left, dead ones fill the rows."""
        alive = [each for each, is_end in zip(candidates, ended, strict=True) if not is_end]
        dead = [
            Candidate(float(_NEVER), each.beam, each.token)
            for each, is_end in zip(candidates, ended, strict=True)
            if is_end
        ]
        chosen = (alive + dead)[: self.width]
        self.parents = [each.beam for each in chosen]
        self.beams = [[*self.beams[each.beam], each.token] for each in chosen]
        self.scores = [each.score for each in chosen]

    @property
    def _is_full(self) -> bool:
        return all(tokens is not None for _, tokens in self._finished)

    def _is_full_early(self) -> bool:
        return self._early_stopping is True and self._is_full

    def _can_improve(self, length: int) -> bool:
        """Whether the best beam may still beat the worst finished sequence: transformers' rule of thumb."""
        if not self._is_full:
            return True
        if self._early_stopping == "never" and self._length_penalty > 0.0:
            length = self.options.prompt.max_new_tokens
        best_possible = np.float32(self.scores[0]) / np.float32(length**self._length_penalty)
        return bool(best_possible > self._finished[-1][0])
