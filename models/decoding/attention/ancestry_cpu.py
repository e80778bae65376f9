"""Attention over the pages of groups on a CPU, by the kernels of `ancestry_cpu_kernels`.

Where each row's keys are is looked up once a step, for all layers. A row's sums are made in the
order of positions, so that its bits depend on nobody beside it.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from models.decoding.attention import ancestry_cpu_kernels as kernels
from models.decoding.attention.ancestry import AncestralAttention
from models.decoding.attention.cpu import CpuAttention, computed
from models.decoding.attention.interface import Layer
from models.decoding.compiled import one_at_a_time, stored
from models.decoding.scheduling.layout import Shape
from models.decoding.tensors.group_state import GroupState
from models.decoding.tensors.kv_pages import KVPages
from models.decoding.tensors.state import BatchState


class AncestralCpu(CpuAttention):
    """The backend of groups for CPUs."""

    store_source = staticmethod(AncestralAttention.store_source)

    def __init__(self) -> None:
        super().__init__()
        self._cells = np.zeros((0, 0), np.int32)  # of the step

    def begin(self, state: BatchState, shape: Shape) -> None:
        """As the interface says."""
        assert isinstance(state, GroupState)
        super().begin(state, shape)
        positions = state.positions.numpy()
        longest = int(positions[: shape.num_rows].max(initial=0)) + 1
        self._cells = np.empty((shape.num_rows, longest), np.int32)
        kernels.compiled_trace()(
            state.seats.numpy(), positions, state.rows.numpy(), state.ancestry.numpy(),
            shape.num_rows, state.num_seats, self._cells,
        )  # fmt: skip

    def attend_source(self, state: GroupState, pages: KVPages, shape: Shape, layer: Layer) -> Tensor:
        """Attention of every row over its document's source; (rows, heads, head size)."""
        queries = computed(layer.queries)
        keys, values = pages.keys[layer.number], pages.values[layer.number]
        out = torch.empty(*queries.shape[:2], values.shape[3], dtype=queries.dtype)
        with one_at_a_time():
            kernels.compiled_source(queries.dtype)(
                stored(queries), stored(keys), stored(values), state.seats.numpy(), state.rows.numpy(),
                stored(out), shape.num_rows, state.num_seats, state.first_column, np.float32(layer.scale),
            )  # fmt: skip
        return out if out.dtype == layer.queries.dtype else out.to(layer.queries.dtype)

    def _decode(
        self, state: BatchState, shape: Shape, layer: Layer, queries: Tensor, new: tuple[Tensor, Tensor],
        pools: tuple[Tensor, Tensor], out: Tensor,
    ) -> None:  # fmt: skip
        assert isinstance(state, GroupState)
        keys, values = (pool.view(-1, pool.shape[-1]) for pool in pools)
        slopes, sinks = self._of_heads(layer.slopes), self._of_heads(layer.sinks)
        bias = queries[:0] if layer.bias is None else layer.bias.to(queries.dtype)
        with one_at_a_time():
            kernels.compiled_decode(queries.dtype)(
                stored(queries), stored(new[0]), stored(new[1]), stored(keys), stored(values),
                state.seats.numpy(), state.positions.numpy(), state.rows.numpy(), self._cells, stored(bias),
                stored(out), shape.num_rows, state.num_seats, state.first_column, np.float32(layer.scale),
                layer.window, np.float32(layer.cap), slopes, sinks,
            )  # fmt: skip
