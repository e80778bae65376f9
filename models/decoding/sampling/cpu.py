"""The sampler on a CPU, by the kernels beside this file."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from models.decoding.compiled import one_at_a_time, stored
from models.decoding.sampling import cpu_kernels as kernels
from models.decoding.sampling.stream import STREAM_WORDS
from models.decoding.scheduling.layout import Shape
from models.decoding.tensors.state import BatchState


class CpuSampler:
    """The sampler for CPUs. Rows draw as `generate` does with the same seed."""

    provenance: Mapping[str, str] = {}

    def __init__(self, state: BatchState) -> None:
        self._streams = np.zeros((state.num_seats + 1, STREAM_WORDS), np.uint32)

    def choose(self, state: BatchState, shape: Shape, scores: Tensor) -> None:
        """As the interface says."""
        if scores.dtype not in (torch.float32, torch.bfloat16):
            scores = scores.float()
        with one_at_a_time():
            kernels.compiled_choose(scores.dtype)(
                stored(scores), state.seats.numpy(), state.rows.numpy(), state.seen.numpy(), self._streams,
                state.chosen.numpy(), shape.num_rows, state.num_seats, state.vocabulary,
            )  # fmt: skip
