"""Attention over pages on CUDA, by the kernels beside this file."""

from __future__ import annotations

import torch
import triton
from torch import Tensor

from models.decoding.attention import kernels
from models.decoding.attention.interface import Layer
from models.decoding.scheduling.layout import BLOCK_TOKENS, PROMPT_PARTS, Shape
from models.decoding.scheduling.pages import PAGE_TOKENS
from models.decoding.tensors.kv_pages import KVPages
from models.decoding.tensors.state import BatchState

_BEGIN_BLOCK = 128
#: A dot product of the GPU's has at least so many rows and columns.
_LEAST = 16


class TritonAttention:
    """The backend for CUDA devices; through Triton's interpreter, for tests, a CPU."""

    def __init__(self, state: BatchState, *, num_heads: int, head_size: int, split: int = 512) -> None:
        """Sets up.

        Args:
            state: whose rows are attended to.
            num_heads: most query heads of a layer.
            head_size: largest of a layer's keys or values.
            split: keys that are summed up by one program; part of a row's bits.
        """
        self._split = split
        self._most_keys = state.most_pages * PAGE_TOKENS
        most = -(-self._most_keys // split)
        size = state.num_seats * num_heads * most * (head_size + 2) if most > 1 else 1
        self._parts = torch.zeros(size, device=state.device)

    def begin(self, state: BatchState, shape: Shape) -> None:
        """As the interface says."""
        wanted, new_pages = state.rows_in(shape.num_rows)
        kernels.begin[(-(-shape.num_tokens // _BEGIN_BLOCK),)](
            wanted, new_pages, state.prompt_in(shape) if shape.num_prompt else state.inbox, state.rows,
            state.seats, state.token_ids, state.positions, state.seen,
            shape.num_rows, shape.num_prompt, state.num_seats,
            WIDTH=state.seen.shape[1], COLUMNS=state.columns, PAGE=PAGE_TOKENS, BLOCK=_BEGIN_BLOCK,
        )  # fmt: skip

    def attend(self, state: BatchState, pages: KVPages, shape: Shape, layer: Layer) -> Tensor:
        """As the interface says."""
        tokens, heads, _ = layer.queries.shape
        out = torch.empty(
            tokens, heads, layer.values.shape[2], dtype=layer.queries.dtype, device=state.device
        )
        if shape.num_prompt:  # first: rows whose prompt ends in this step read it
            self._prefill(state, pages, shape, layer, out)
        if shape.num_rows:
            self._decode(state, pages, shape, layer, out)
        return out

    def _prefill(self, state: BatchState, pages: KVPages, shape: Shape, layer: Layer, out: Tensor) -> None:
        places, prompt = pages.places[layer.number], state.prompt_in(shape)
        key_heads = layer.keys.shape[1]
        sizes = sizes_of(state, layer)
        kernels.store_prompt[(shape.num_prompt,)](
            layer.keys, layer.values, places, prompt, state.rows, shape.num_rows, shape.num_prompt,
            *strides_of(layer), KEY_HEADS=key_heads, HEADS_P=triton.next_power_of_2(key_heads), **sizes,
            **values_of(layer),
        )  # fmt: skip
        tile, block, warps, stages = _prefill_tiles(layer)
        blocks = shape.num_blocks
        kernels.prefill[(blocks * (BLOCK_TOKENS // tile), out.shape[1])](
            layer.queries, places, prompt[PROMPT_PARTS * shape.num_prompt :], state.rows, out,
            layer.slopes, layer.sinks, layer.scale, shape.num_rows, blocks,
            layer.queries.stride(0), layer.queries.stride(1), HEADS=out.shape[1], KEY_HEADS=key_heads,
            WINDOW=layer.window, CAP=layer.cap, MOST=BLOCK_TOKENS, TILE=tile, BLOCK=block, num_warps=warps,
            num_stages=stages, **sizes, **values_of(layer),
        )  # fmt: skip

    def _decode(self, state: BatchState, pages: KVPages, shape: Shape, layer: Layer, out: Tensor) -> None:
        heads, key_heads = out.shape[1], layer.keys.shape[1]
        sizes = sizes_of(state, layer)
        block, warps, stages = decode_tiles(layer)
        splits = -(-min(shape.num_keys or self._most_keys, self._most_keys) // self._split)
        pieces = {"WINDOW": layer.window, "SPLIT": self._split, "SPLITS": splits}
        kernels.decode[(shape.num_rows, key_heads, splits)](
            layer.queries, layer.keys, layer.values, pages.places[layer.number], state.seats,
            state.positions, state.rows, out, self._parts, layer.slopes, layer.sinks, layer.scale,
            layer.queries.stride(0), layer.queries.stride(1), *strides_of(layer),
            HEADS=heads, KEY_HEADS=key_heads, GROUP_P=max(_LEAST, triton.next_power_of_2(heads // key_heads)),
            BLOCK=block, CAP=layer.cap, num_warps=warps, num_stages=stages, **sizes, **values_of(layer),
            **pieces,
        )  # fmt: skip
        if splits > 1:
            kernels.join[(shape.num_rows * heads,)](
                self._parts, state.positions, out, layer.sinks,
                HEADS=heads, num_warps=1, **values_of(layer), **pieces,
            )  # fmt: skip


def strides_of(layer: Layer) -> tuple[int, int, int, int]:
    """Of the new keys and values: from token to token, from head to head."""
    return layer.keys.stride(0), layer.keys.stride(1), layer.values.stride(0), layer.values.stride(1)


def sizes_of(state: BatchState, layer: Layer) -> dict[str, int]:
    """Constants of a kernel over pages."""
    size = layer.queries.shape[2]
    padded = max(_LEAST, triton.next_power_of_2(size))
    return {"SIZE": size, "SIZE_P": padded, "COLUMNS": state.columns, "PAGE": PAGE_TOKENS}


def values_of(layer: Layer) -> dict[str, int]:
    """Constants of a kernel that reads or writes values, whose size may not be that of keys."""
    size = layer.values.shape[2]
    return {"VALUE": size, "VALUE_P": max(_LEAST, triton.next_power_of_2(size))}


def decode_tiles(layer: Layer) -> tuple[int, int, int]:
    """Keys at a time, warps, stages: the best of those tried on an H100 at head sizes of 64."""
    return (32, 4, 2) if layer.queries.dtype == torch.float32 else (64, 4, 2)


def _prefill_tiles(layer: Layer) -> tuple[int, int, int, int]:
    """Queries, keys at a time, warps, stages: likewise."""
    return (32, 32, 4, 2) if layer.queries.dtype == torch.float32 else (64, 64, 4, 2)
