"""Beam search on CUDA, by the kernels of `beam_kernels`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
import triton
from torch import Tensor

from models.decoding.sampling import beam_kernels
from models.decoding.scheduling.group import MOST_CANDIDATES
from models.decoding.scheduling.group_layout import GroupShape
from models.decoding.scheduling.layout import Shape
from models.decoding.scheduling.pages import PAGE_TOKENS
from models.decoding.tensors.group_state import GroupState
from models.decoding.tensors.state import BatchState

#: Tokens a group, groups a program, places of ancestry at a time.
_GROUP, _GROUPS, _BLOCK = 128, 32, 64


class TritonBeams:
    """The chooser of beams for CUDA devices; through Triton's interpreter, for tests, a CPU."""

    provenance: Mapping[str, str] = MappingProxyType({})  #: nothing is drawn

    def __init__(self, state: GroupState, *, group: int = _GROUP, groups: int = _GROUPS) -> None:
        """Sets up.

        Args:
            state: whose rows are chosen for.
            group: tokens whose largest is kept.
            groups: of a program.
        """
        self._group, self._groups = group, groups
        self._chunks = -(-state.vocabulary // (group * groups))
        seats, device = state.num_seats, state.device
        self._tops = torch.zeros(seats, self._chunks, device=device)
        self._sums = torch.zeros_like(self._tops)
        self._maxima = torch.zeros(seats, self._chunks * groups, device=device)
        self._scores = torch.zeros(seats, MOST_CANDIDATES, device=device)
        self._tokens = torch.zeros(seats, MOST_CANDIDATES, dtype=torch.int32, device=device)

    def choose(self, state: BatchState, shape: Shape, scores: Tensor) -> None:
        """As `ReferenceBeams.choose`."""
        assert isinstance(state, GroupState)
        assert isinstance(shape, GroupShape)
        num_rows, stride, nobody = shape.num_rows, scores.stride(0), state.num_seats
        rows = {"COLUMNS": state.columns}
        tokens = {"VOCABULARY": state.vocabulary, "GROUP": self._group, "CHUNKS": self._chunks}
        num_groups = self._chunks * self._groups
        most = triton.next_power_of_2(shape.num_candidates)
        found = {"MOST": most, "FIRST": state.first_column}
        beam_kernels.look_over[(num_rows, self._chunks)](
            scores, state.seats, state.rows, self._tops, self._sums, self._maxima, stride, nobody,
            GROUPS=self._groups, **tokens, **rows, num_warps=4,
        )  # fmt: skip
        beam_kernels.best_of_row[(num_rows,)](
            scores, state.seats, state.rows, self._tops, self._sums, self._maxima, self._scores, self._tokens,
            stride, nobody, shape.num_candidates, CHUNKS_P=triton.next_power_of_2(self._chunks),
            NUM_GROUPS=num_groups, NUM_GROUPS_P=triton.next_power_of_2(num_groups), **tokens, **found, **rows,
            num_warps=4,
        )  # fmt: skip
        beam_kernels.search[(num_rows,)](
            self._scores, self._tokens, state.seats, state.rows, state.ancestry, state.said, nobody,
            shape.num_candidates, WIDE=shape.width, ENTRIES=state.most_pages * PAGE_TOKENS,
            TABLE=state.ancestry[0].numel(), BLOCK=_BLOCK, **found, **rows, num_warps=1,
        )  # fmt: skip
