"""Beam search on a CPU, by the kernels of `beam_cpu_kernels`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from models.decoding.compiled import one_at_a_time, stored
from models.decoding.sampling import beam_cpu_kernels as kernels
from models.decoding.scheduling.group_layout import GroupShape
from models.decoding.scheduling.layout import Shape
from models.decoding.tensors.group_state import GroupState
from models.decoding.tensors.state import BatchState


class CpuBeams:
    """The chooser of beams for CPUs."""

    provenance: Mapping[str, str] = MappingProxyType({})  #: nothing is drawn

    def choose(self, state: BatchState, shape: Shape, scores: Tensor) -> None:
        """As `ReferenceBeams.choose`."""
        assert isinstance(state, GroupState)
        assert isinstance(shape, GroupShape)
        if scores.dtype not in (torch.float32, torch.bfloat16):
            scores = scores.float()
        size = (shape.num_rows, shape.num_candidates)
        logs, tokens = np.empty(size, np.float32), np.empty(size, np.int32)
        seats, rows, nobody = state.seats.numpy(), state.rows.numpy(), state.num_seats
        with one_at_a_time():
            kernels.compiled_best(scores.dtype)(
                stored(scores), seats, rows, logs, tokens, shape.num_rows, nobody, state.vocabulary,
                state.first_column,
            )  # fmt: skip
        kernels.compiled_search()(
            logs, tokens, seats, rows, state.ancestry.numpy(), state.said.numpy(), shape.num_rows, nobody,
            state.first_column,
        )  # fmt: skip
