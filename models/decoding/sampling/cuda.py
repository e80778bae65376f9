"""The sampler on CUDA, by the kernels beside this file."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from models.decoding.sampling import kernels
from models.decoding.sampling.interface import PHILOX
from models.decoding.scheduling.layout import Shape
from models.decoding.tensors.state import BatchState

#: Tokens a group, groups a program, groups that a list holds, tokens at a time of a whole row.
_GROUP, _GROUPS, _LISTED, _BLOCK = 64, 64, 128, 4096


class TritonSampler:
    """The sampler for CUDA devices; through Triton's interpreter, for tests, a CPU."""

    provenance = PHILOX

    def __init__(
        self, state: BatchState, *, group: int = _GROUP, groups: int = _GROUPS, listed: int = _LISTED,
        block: int = _BLOCK,
    ) -> None:  # fmt: skip
        self._group, self._groups, self._listed, self._block = group, groups, listed, block
        self._num_programs = -(-state.vocabulary // (group * groups))
        self._num_groups = self._num_programs * groups
        self._best = torch.zeros(state.num_seats, self._num_groups, device=state.device)
        self._lists = torch.zeros(state.num_seats, listed + 2, dtype=torch.int32, device=state.device)

    def choose(self, state: BatchState, shape: Shape, scores: Tensor) -> None:
        """As the interface says."""
        num_rows, stride, nobody = shape.num_rows, scores.stride(0), state.num_seats
        columns = {"COLUMNS": state.columns}
        tokens = {"VOCABULARY": state.vocabulary, "WIDTH": scores.shape[1], "GROUP": self._group}
        bits = {"BITS": 16 if scores.dtype == torch.bfloat16 else 32}
        groups = {"NUM_GROUPS": self._num_groups}
        seats, rows = state.seats, state.rows
        kernels.forbid[(num_rows,)](scores, seats, rows, stride, **columns, num_warps=1)
        kernels.best_of_groups[(num_rows, self._num_programs)](
            scores, state.seen, seats, rows, self._best, stride, nobody,
            GROUPS=self._groups, **tokens, **groups, **columns, num_warps=4,
        )  # fmt: skip
        kernels.list_groups[(num_rows,)](
            seats, rows, self._best, self._lists, nobody, LISTED=self._listed,
            NUM_GROUPS_P=triton.next_power_of_2(self._num_groups), **groups, **columns, **bits, num_warps=4,
        )  # fmt: skip
        kernels.choose[(num_rows,)](
            scores, state.seen, seats, rows, self._lists, state.chosen, stride, nobody,
            LISTED=self._listed, BLOCK=self._block, **tokens, **columns, **bits, num_warps=8,
        )  # fmt: skip
