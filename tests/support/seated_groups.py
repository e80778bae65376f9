"""Groups of rows in a batch state as a step finds them, without an engine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from models.decoding.scheduling.group import BeamParameters, Group
from models.decoding.scheduling.group_layout import GroupShape, stage_group
from models.decoding.scheduling.request import Sampling
from models.decoding.tensors.group_state import GroupState
from tests.support.seated import DEVICE

PAGES, SOURCE_PAGES = 6, 4


def make_group_state(num_seats: int, vocabulary: int) -> GroupState:
    """An empty one, on the device at hand."""
    return GroupState(
        num_seats=num_seats, most_pages=PAGES, most_source_pages=SOURCE_PAGES, max_chunk=16,
        vocabulary=vocabulary, device=DEVICE,
    )  # fmt: skip


def group_of(
    beams: BeamParameters, *, prompt: int = 1, new: int = 8, source: int = 0, **sampling: object
) -> Group:
    """A group that nobody has seated."""
    return Group(
        key=0,
        input_ids=np.ones(prompt, np.int32),
        source_ids=np.ones(source, np.int32),
        max_new_tokens=new,
        sampling=Sampling(**sampling),  # type: ignore[arg-type]
        beams=beams,
    )


def seat_groups(
    state: GroupState, groups: Sequence[Group], tables: Sequence[Sequence[int]] | None = None
) -> GroupShape:
    """Seats groups in shuffled seats, as their records would; the shape of a step in which they all decode.

    Args:
        state: where.
        groups: who.
        tables: pages of each seat, in the order in which seats are taken; None: no pages.
    """
    free = np.random.default_rng(1).permutation(state.num_seats).astype(np.int32).tolist()
    begun, rows = 0, []
    for group in groups:
        group.seats = np.array([free.pop() for _ in range(group.num_rows)], np.int32)
        group.seat = int(group.seats[0])
        own = tables[begun : begun + group.num_rows] if tables else [[]] * group.num_rows
        records = np.zeros((group.num_rows, 1 + state.columns), np.int32)
        stage_group(records, state.first_column, group, [np.asarray(table, np.int32) for table in own])
        seats = torch.from_numpy(group.seats).long().to(DEVICE)
        state.rows[seats] = torch.from_numpy(records[:, 1:]).to(DEVICE)
        state.ancestry[:, seats] = group.seat
        rows += group.seats.tolist()
        begun += group.num_rows
    state.seats[: len(rows)] = torch.tensor(rows, dtype=torch.int32, device=DEVICE)
    widest = max(group.num_rows for group in groups)
    return GroupShape(
        num_rows=min(state.num_seats, len(rows) + 2),
        num_prompt=0,
        width=1 << (widest - 1).bit_length(),
        num_candidates=max(group.beams.num_candidates for group in groups),
    )
