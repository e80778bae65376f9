"""Begins the steps of groups, and reads the sequences of searches that have ended."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import cast

import numpy as np
import torch
from torch import Tensor

from models.decoding.flight import Flight, Outcome
from models.decoding.launcher import Launcher
from models.decoding.parameters.prompt import Decoded
from models.decoding.passes.steps import Program, StepRunner
from models.decoding.recovery import told
from models.decoding.sampling.slow_lane import SlowRows
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
from models.decoding.scheduling.pages import PAGE_TOKENS
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
        self._histories = Histories(state.num_seats, state.most_pages * PAGE_TOKENS + 1)

    def _rows(self, requests: list[Request]) -> Ints:
        seats = [group.seats for group in _groups(requests)]
        return np.concatenate(seats) if seats else np.zeros(0, np.int32)

    def _slow_rows(self, requests: list[Request]) -> SlowRows:
        return [(first, group) for first, group in _by_row(requests).items() if group.slow is not None]

    def _shape(
        self, requests: list[Request], seats: Ints, chunks: Iterable[Chunk], num_prompt: int
    ) -> GroupShape:
        beams = {group.beams for group in _groups(requests) if group.slow is None}
        largest = {
            "longest": self._seats.longest(seats),
            "width": max((each.num_beams for each in beams), default=1),
            "num_candidates": max((each.num_candidates for each in beams), default=2),
        }
        if self._scheduler.limits.is_exact:
            return exact_shape(len(seats), num_prompt, sum(map(num_blocks_of, chunks)), **largest)
        return group_shape(len(seats), num_prompt, self._seats.num_seats, **largest)

    def _stage_entry(self, inbox: Ints, start: int, request: Request) -> int:
        assert isinstance(request, Group)
        size = 1 + self._state.columns
        end = start + size * request.num_rows
        tables = [self._seats.table(seat) for seat in request.seats]
        stage_group(inbox[start:end].reshape(-1, size), self._state.first_column, request, tables)
        return end

    def _flight(
        self, requests: list[Request], seats: Ints, chosen: Tensor, event: torch.cuda.Event | None
    ) -> Flight:
        return GroupFlight(requests, chosen, event, seats, self._histories)


@dataclass(frozen=True)
class GroupFlight(Flight):
    """A step of groups; `chosen` is (rows, `NUM_SAID`)."""

    seats: Ints  #: of all rows
    histories: Histories

    def land(self) -> list[Outcome]:
        """Waits for what was said, notes it and returns the groups whose search has ended."""
        if self.event is not None:
            self.event.synchronize()
        said: Ints = self.chosen.numpy().reshape(-1, NUM_SAID)
        self.histories.note(self.seats, said)
        ended = np.flatnonzero(said[:, SAID_DONE]).tolist()
        if not ended:
            return []
        by_row = _by_row(self.requests)
        return [self._outcome(by_row[row], row, said) for row in ended if not by_row[row].is_gone]

    def _outcome(self, group: Group, row: int, said: Ints) -> Outcome:
        if group.failure is not None:
            return group, told(group.failure)
        if group.slow is not None:
            return group, group.slow.result()
        if said[row, SAID_TOKEN] == NOT_FINITE:
            return group, NotFinite()
        own = slice(row, row + group.num_rows)
        found = self.histories.finished(self.seats[own], said[own], group.beams.num_returned)
        is_stopped = [tokens[-1] in group.sampling.end_ids for tokens in found]
        return group, Decoded(sequences=found, is_stopped=is_stopped)


def _groups(requests: Sequence[Request]) -> Sequence[Group]:
    """This core's requests are groups, all of them."""
    return cast("Sequence[Group]", requests)


def _by_row(requests: Sequence[Request]) -> dict[int, Group]:
    """Groups by the place of their first row in a step."""
    groups = _groups(requests)
    firsts = accumulate((group.num_rows for group in groups), initial=0)
    return dict(zip(firsts, groups, strict=False))
