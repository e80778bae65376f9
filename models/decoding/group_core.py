"""Continuous decoding by groups of rows: beams of decoder-only models, every document of encoder-decoders.

The device chooses, finishes and ends searches; the host hears of it a step later, and reads the
sequences of those that have ended.
"""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from models.decoding.core import PagedCore
from models.decoding.encoding import Encoding
from models.decoding.group_launcher import GroupLauncher
from models.decoding.parameters.beam_columns import BeamParametersMaker
from models.decoding.parameters.prompt import Prompt
from models.decoding.passes.steps import Program, StepRunner
from models.decoding.scheduling.group import Group
from models.decoding.scheduling.group_seats import GroupSeats
from models.decoding.scheduling.pages import num_pages_for
from models.decoding.scheduling.request import Request
from models.decoding.scheduling.scheduler import Limits
from models.decoding.tensors.group_state import GroupState
from models.decoding.tensors.paired_pages import PairedPages

#: An encoder is started once so much of all seats is free, one in so many; sooner for the urgent.
_WORTH = 4


class GroupCore(PagedCore):
    """As `PagedCore`, for requests that have several rows."""

    def __init__(
        self,
        program: Program,
        runner: StepRunner,
        limits: Limits,
        parameters: BeamParametersMaker,
        encoding: Encoding | None = None,
    ) -> None:
        """Sets up.

        Args:
            program: the step.
            runner: how steps run.
            limits: of the device.
            parameters: what prompts ask for.
            encoding: how sources are read; None: the model is decoder-only.
        """
        state = program.state
        assert isinstance(state, GroupState)
        self._state = state
        self._encoding = encoding
        self._parameters = parameters
        seats = GroupSeats(
            limits.max_rows, state.most_pages, limits.num_pages, has_sources=encoding is not None
        )
        self._group_seats = seats
        super().__init__(program, runner, limits, None, seats=seats, launcher=GroupLauncher)

    def serves(self, prompt: Prompt) -> bool:
        """Whether a prompt's parameters and length are served here."""
        made = self._parameters.make(prompt)
        if made is None:
            return False
        beams = made.beams
        limits, num_read = self.scheduler.limits, len(prompt.input_ids)
        num_begun, num_source = (
            (len(made.start_ids), num_read) if self._encoding is not None else (num_read, 0)
        )
        num_entries = num_begun - 1 + prompt.max_new_tokens
        return (
            max(num_entries, num_source) <= limits.max_entries
            and beams.num_beams <= limits.max_rows
            and beams.num_beams * num_pages_for(num_entries) < limits.num_pages
            and num_pages_for(num_source) <= min(self._state.most_source_pages, limits.num_pages - 1)
        )

    def add(self, key: Hashable, prompt: Prompt, *, priority: float) -> None:
        """Queues a prompt that is served here; the key is not inside yet."""
        made = self._parameters.make(prompt)
        assert made is not None, "somebody asked whether it is served"
        ids = np.asarray(prompt.input_ids, np.int32)
        has_source = self._encoding is not None
        self.add_request(
            Group(
                key=key,
                input_ids=np.asarray(made.start_ids, np.int32) if has_source else ids,
                source_ids=ids if has_source else ids[:0],
                max_new_tokens=prompt.max_new_tokens,
                sampling=made.sampling,
                beams=made.beams,
                slow=self._parameters.choice(prompt) if made.is_slow else None,
                priority=priority,
                is_read_early=prompt.is_read_early,
            )
        )

    # Coming in.

    def _admit(self) -> list[Request]:
        if self._encoding is not None and self._waits_for_company():
            return []
        entered = super()._admit()
        if self._encoding is None or not entered:
            return entered
        failures = self._encoding.encode([each for each in entered if isinstance(each, Group)])
        for group, error in failures:
            self._settle(group, error)
        return [request for request in entered if not request.is_gone]

    def _waits_for_company(self) -> bool:
        """Whether too few seats are free for an encoder's pass, which several documents share."""
        first, best = self.scheduler.best_waiting_priority, self.scheduler.best_running_priority
        if first is None or best is None or self._seats.num_free * _WORTH >= self._seats.num_seats:
            return False
        return first >= best

    # Going out.

    def _rest(self) -> None:
        super()._rest()
        pages, sources = self._program.pages, self._group_seats.sources
        if self._inside and isinstance(pages, PairedPages) and sources.has_fallen:
            pages.source.give_back(sources.settle())
