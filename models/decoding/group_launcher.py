"""Begins the steps of groups, and reads the sequences of searches that have ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.decoding.flight import Flight, Outcome
from models.decoding.launcher import Launcher
from models.decoding.parameters.prompt import Decoded
from models.decoding.passes.steps import Program, StepRunner
from models.decoding.recovery import told
from models.decoding.scheduling.group import Group
from models.decoding.scheduling.group_layout import (
    NUM_SAID,
    SAID_DONE,
    SAID_TOKEN,
    GroupShape,
    exact_shape,
    group_shape,
    stage_group,
)
from models.decoding.scheduling.histories import Histories
from models.decoding.scheduling.layout import NOT_FINITE
from models.decoding.scheduling.lineup import Lineup
from models.decoding.scheduling.request import Request
from models.decoding.scheduling.scheduler import Chunk, Scheduler
from models.decoding.scheduling.seats import Ints, Seats
from models.decoding.scheduling.staging import num_blocks_of
from models.decoding.tensors.group_state import GroupState
from models.errors import NotFinite


class GroupLauncher(Launcher):
    """Knows what the host must tell a step of groups."""

    def __init__(self, program: Program, runner: StepRunner, scheduler: Scheduler, seats: Seats) -> None:
        super().__init__(program, runner, scheduler, seats)
        state = program.state
        assert isinstance(state, GroupState)
        self._state = state
        self._histories = Histories(self._transcript)
        self._lineup: Lineup | None = None  # of the step before
        self._widest: dict[str, int] = {}  # of its groups

    def _shape(self, lineup: Lineup, chunks: Iterable[Chunk], num_prompt: int) -> GroupShape:
        if lineup is not self._lineup:
            self._lineup, self._widest = lineup, _widest(lineup.requests)
        largest = {"longest": self._seats.longest(lineup.seats), **self._widest}
        if self._scheduler.limits.is_exact:
            return exact_shape(len(lineup.seats), num_prompt, sum(map(num_blocks_of, chunks)), **largest)
        return group_shape(len(lineup.seats), num_prompt, self._seats.num_seats, **largest)

    def _stage_entry(self, inbox: Ints, start: int, request: Request) -> int:
        assert isinstance(request, Group)
        size = 1 + self._state.columns
        end = start + size * request.num_rows
        tables = [self._seats.table(seat) for seat in request.seats]
        stage_group(inbox[start:end].reshape(-1, size), self._state.first_column, request, tables)
        return end

    def _flight(self, lineup: Lineup, chosen: Tensor, event: torch.cuda.Event | None) -> GroupFlight:
        return GroupFlight(lineup, chosen, event, self._histories)


@dataclass(frozen=True)
class GroupFlight(Flight):
    """A step of groups; `chosen` is (rows, `NUM_SAID`)."""

    histories: Histories

    def land(self) -> list[Outcome]:
        """As the interface says; a group ends with its search."""
        said = self._said().reshape(-1, NUM_SAID)
        self.histories.note(self.lineup.seats, said)
        for row, group in self.lineup.watched:
            # Of beams nobody knows yet which will win.
            if group.is_read_early and group.num_rows == 1 and said[row, SAID_TOKEN] > NOT_FINITE:
                group.new_tokens.append(int(said[row, SAID_TOKEN]))
        ended = [(row, self.lineup.by_row[row]) for row in np.flatnonzero(said[:, SAID_DONE]).tolist()]
        return [self._outcome(group, row, said) for row, group in ended if not group.is_gone]

    def _outcome(self, group: Request, row: int, said: Ints) -> Outcome:
        assert isinstance(group, Group)
        if group.failure is not None:
            return group, told(group.failure)
        if group.slow is not None:
            return group, group.slow.result()
        if said[row, SAID_TOKEN] == NOT_FINITE:
            return group, NotFinite()
        own = slice(row, row + group.num_rows)
        found = self.histories.finished(self.lineup.seats[own], said[own], group.beams.num_returned)
        is_stopped = [tokens[-1] in group.sampling.end_ids for tokens in found]
        return group, Decoded(sequences=found, is_stopped=is_stopped)


def _widest(requests: Sequence[Request]) -> dict[str, int]:
    """Beams and candidates of the largest of these that are not chosen for on the host."""
    beams = {group.beams for group in requests if isinstance(group, Group) and group.slow is None}
    return {
        "width": max((each.num_beams for each in beams), default=1),
        "num_candidates": max((each.num_candidates for each in beams), default=2),
    }
