"""Attention over the pages of groups on CUDA, by the kernels of `ancestry_kernels`."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from models.decoding.attention import ancestry_kernels, kernels
from models.decoding.attention.cuda import TritonAttention, decode_tiles, sizes_of, strides_of
from models.decoding.attention.interface import Layer
from models.decoding.scheduling.group_layout import GroupShape
from models.decoding.scheduling.layout import Shape
from models.decoding.scheduling.pages import PAGE_TOKENS
from models.decoding.tensors.group_state import GroupState
from models.decoding.tensors.kv_pages import KVPages
from models.decoding.tensors.state import BatchState
from models.errors import NotSuited

#: A dot product of the GPU's has at least so many rows.
_LEAST = 16
#: Tokens of a source whose keys a program stores.
_STORED = 32


class AncestralTriton(TritonAttention):
    """The backend of groups for CUDA devices; through Triton's interpreter, for tests, a CPU."""

    def attend(self, state: BatchState, pages: KVPages, shape: Shape, layer: Layer) -> Tensor:
        """As the interface says.

        Raises:
            NotSuited: scores are softened, or have slopes or sinks.
        """
        if layer.cap or layer.slopes is not None or layer.sinks is not None:
            raise NotSuited("scores that are more than products with a bias")
        return super().attend(state, pages, shape, layer)

    def attend_source(self, state: GroupState, pages: KVPages, shape: Shape, layer: Layer) -> Tensor:
        """Attention of every row over its document's source; (rows, heads, head size)."""
        assert isinstance(shape, GroupShape)
        rows, heads, size = layer.queries.shape
        out = torch.empty(rows, heads, size, dtype=layer.queries.dtype, device=state.device)
        key_heads = pages.keys[layer.number].shape[1]
        block, warps, stages = decode_tiles(layer)
        wide = triton.next_power_of_2(shape.width * (heads // key_heads))
        ancestry_kernels.attend_source[(rows, key_heads)](
            layer.queries, pages.places[layer.number], state.seats, state.rows, out, layer.scale,
            layer.queries.stride(0), layer.queries.stride(1),
            HEADS=heads, KEY_HEADS=key_heads, QUERIES_P=max(_LEAST, wide), FIRST=state.first_column,
            BLOCK=block, num_warps=warps, num_stages=stages, **sizes_of(state, layer),
        )  # fmt: skip
        return out

    @staticmethod
    def store_source(pages: KVPages, number: int, keys: Tensor, values: Tensor, cells: Tensor) -> None:
        """As the interface says."""
        documents, heads, tokens, size = keys.shape
        ancestry_kernels.store_source[(documents, heads, triton.cdiv(tokens, _STORED))](
            keys, values, cells, pages.places[number], cells.stride(0), *keys.stride()[:3],
            *values.stride()[:3], tokens, HEADS=heads, SIZE=size, SIZE_P=triton.next_power_of_2(size),
            PAGE=PAGE_TOKENS, BLOCK=_STORED, num_warps=4,
        )  # fmt: skip

    def _decode(self, state: BatchState, pages: KVPages, shape: Shape, layer: Layer, out: Tensor) -> None:
        assert isinstance(state, GroupState)
        heads, key_heads = out.shape[1], layer.keys.shape[1]
        sizes = sizes_of(state, layer)
        block, warps, stages = decode_tiles(layer)
        splits = -(-min(shape.num_keys or self._most_keys, self._most_keys) // self._split)
        pieces = {"WINDOW": layer.window, "SPLIT": self._split, "SPLITS": splits}
        bias = layer.queries if layer.bias is None else layer.bias
        strides = (0, 0, 0) if layer.bias is None else layer.bias.stride()
        ancestry_kernels.decode[(shape.num_rows, key_heads, splits)](
            layer.queries, layer.keys, layer.values, pages.places[layer.number], state.seats,
            state.positions, state.rows, state.ancestry, bias, out, self._parts, layer.scale,
            layer.queries.stride(0), layer.queries.stride(1), *strides_of(layer), *strides,
            HEADS=heads, KEY_HEADS=key_heads, GROUP_P=max(_LEAST, triton.next_power_of_2(heads // key_heads)),
            HAS_BIAS=layer.bias is not None, ENTRIES=state.most_pages * PAGE_TOKENS,
            TABLE=state.ancestry[0].numel(), BLOCK=block, num_warps=warps, num_stages=stages, **sizes,
            **pieces,
        )  # fmt: skip
        if splits > 1:
            kernels.join[(shape.num_rows * heads,)](
                self._parts, state.positions, out,
                HEADS=heads, SIZE=sizes["SIZE"], SIZE_P=sizes["SIZE_P"], num_warps=1, **pieces,
            )  # fmt: skip
