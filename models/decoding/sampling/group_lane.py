"""A step of groups, some of which are chosen for on the host (`GroupChoice`), beside the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from models.decoding.sampling.interface import Sampler
from models.decoding.sampling.slow_lane import SlowRows
from models.decoding.scheduling.group import Group
from models.decoding.scheduling.group_layout import SAID_DONE, SAID_TOKEN
from models.decoding.scheduling.layout import IS_DONE, NOTHING, POSITION, TOKEN, Shape
from models.decoding.tensors.group_state import GroupState
from models.decoding.tensors.state import BatchState


class GroupLane:
    """A chooser for one step, some of whose groups are chosen for otherwise than by another chooser."""

    def __init__(self, chooser: Sampler, slow: SlowRows) -> None:
        self._chooser = chooser
        self._slow = [(place, cast("Group", request)) for place, request in slow]

    @property
    def provenance(self) -> Mapping[str, str]:
        """As the other's."""
        return self._chooser.provenance

    def choose(self, state: BatchState, shape: Shape, scores: Tensor) -> None:
        """As the interface says."""
        assert isinstance(state, GroupState)
        own = [scores[rows, : state.vocabulary].float().clone() for rows in self._rows()]
        for rows in self._rows():
            state.seats[rows] = state.num_seats  # the other chooser finds nobody there
        self._chooser.choose(state, shape, scores)
        for rows, (_, group), mine in zip(self._rows(), self._slow, own, strict=True):
            is_over = _choose(state, group, mine)
            state.said[rows, SAID_TOKEN] = NOTHING  # the choice itself keeps what was said
            state.said[rows.start, SAID_DONE] = int(is_over)

    def _rows(self) -> list[slice]:
        return [slice(place, place + group.num_rows) for place, group in self._slow]


def _choose(state: GroupState, group: Group, scores: Tensor) -> bool:
    """Gives a group's rows their next tokens; whether it ends with them, or with what its choice raises."""
    seats = torch.from_numpy(group.seats).long().to(state.device)
    try:
        tokens, parents = group.slow.choose(scores)
    except torch.AcceleratorError:
        raise  # the device itself has failed
    except Exception as error:  # a processor may raise anything at all
        group.failure = error
        state.rows[seats, IS_DONE] = 1
        return True
    positions = state.rows[group.seat, POSITION].expand(len(seats))
    state.inherit(seats, seats[torch.tensor(parents, device=state.device)], positions)
    state.rows[seats, TOKEN] = torch.tensor(tokens, dtype=torch.int32, device=state.device)
    state.rows[seats, POSITION] = positions + 1
    is_over: bool = group.slow.is_done
    done = torch.ones(len(seats), dtype=torch.int32)
    if not is_over:
        done[group.slow.live] = 0
    state.rows[seats, IS_DONE] = done.to(state.device)
    return is_over
