"""Keys and values of all layers, in pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from models.decoding.scheduling.pages import PAGE_TOKENS, Pages
from models.memory import is_out_of_memory, release_cached_memory


@dataclass(frozen=True)
class LayerSize:
    """Of one token in one layer."""

    num_heads: int
    head_size: int  #: of keys
    value_size: int


class KVPages:
    """Pages of every layer, (pages, heads, positions, head size): allocated whole, given back whole.

    `places` says where they are: a graph that reads it outlives the pages that it was captured with.
    """

    def __init__(self, layers: Sequence[LayerSize], dtype: torch.dtype, device: torch.device) -> None:
        self._layers = layers
        self._dtype = dtype
        self._device = device
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        #: (layers, 2) addresses of keys and of values
        self.places = torch.zeros(len(layers), 2, dtype=torch.int64, device=device)

    @property
    def page_bytes(self) -> int:
        """Bytes of one page in all layers."""
        numbers = sum(layer.num_heads * (layer.head_size + layer.value_size) for layer in self._layers)
        return numbers * PAGE_TOKENS * self._dtype.itemsize

    @property
    def num_bytes(self) -> int:
        """Bytes that are allocated."""
        return sum(each.numel() * each.element_size() for each in (*self.keys, *self.values))

    @property
    def is_allocated(self) -> bool:
        """Whether there are pages."""
        return bool(self.keys)

    def allocate(self, num_pages: int) -> None:
        """Makes the pages.

        Raises:
            torch.OutOfMemoryError: they do not fit; nothing stays allocated.
        """
        keys: list[Tensor] = []
        values: list[Tensor] = []
        for layer in self._layers:
            # Empty: nobody reads what was not written, and to fill a large cache takes milliseconds.
            for pool, size in ((keys, layer.head_size), (values, layer.value_size)):
                shape = (num_pages, layer.num_heads, PAGE_TOKENS, size)
                pool.append(self._empty(shape))
        self.keys, self.values = keys, values
        found = [[key.data_ptr(), value.data_ptr()] for key, value in zip(keys, values, strict=True)]
        self.places.copy_(torch.tensor(found))

    def _empty(self, shape: tuple[int, ...]) -> Tensor:
        return torch.empty(shape, dtype=self._dtype, device=self._device)

    def give_back(self, free: Pages) -> None:
        """Lets the system have the memory of pages, ascending, that nobody has, where it takes parts."""

    def allocate_most(self, num_pages: int) -> int:
        """Makes the pages, fewer where the memory is short; returns how many.

        Raises:
            torch.OutOfMemoryError: not even two fit.
        """
        while True:
            try:
                self.allocate(num_pages)
            except Exception as error:
                num_pages //= 2
                if num_pages < 2 or not is_out_of_memory(error):
                    raise
                release_cached_memory()
            else:
                return num_pages

    def release(self) -> None:
        """Gives all of them back."""
        self.keys, self.values = [], []
