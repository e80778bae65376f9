"""What an encoder-decoder's forward pass sees instead of its caches: pages, or whoever takes new keys."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import Cache

from models.decoding.attention.interface import AttentionBackend, Layer
from models.decoding.scheduling.layout import Shape
from models.decoding.scheduling.pages import PAGE_TOKENS
from models.decoding.tensors.group_state import GroupState
from models.decoding.tensors.kv_pages import KVPages
from models.decoding.tensors.paired_pages import PairedPages
from models.decoding.tensors.state import BatchState


class SourceBackend(AttentionBackend, Protocol):
    """A way of computing attention over pages, of what encoders have read too."""

    def attend_source(self, state: GroupState, pages: KVPages, shape: Shape, layer: Layer) -> Tensor:
        """Attention of every row over its document's source; (rows, heads, head size)."""
        ...

    def store_source(self, pages: KVPages, number: int, keys: Tensor, values: Tensor, cells: Tensor) -> None:
        """Puts a layer's keys and values of sources into pages.

        Args:
            pages: of sources.
            number: of the layer.
            keys: (documents, heads, tokens, size); values likewise.
            values: see keys.
            cells: (documents, tokens), the page of each token; 0: it is kept nowhere.
        """
        ...


class Entries(ABC):
    """Stands where a layer expects keys or values."""

    num_keys = 1  #: T5 sizes its bias by it

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """As of keys."""
        return (1, 1, self.num_keys, 1)

    @abstractmethod
    def attend(self, query: Tensor, scale: float, window: int, bias: Tensor | None) -> Tensor:
        """One layer's attention, (rows, heads, head size); the query as the model has it."""


class JointStep:
    """One step: the decoder's own keys go to pages, those of sources are there."""

    def __init__(
        self, backend: AttentionBackend, state: BatchState, pages: PairedPages, shape: Shape, *, past: Tensor
    ) -> None:
        assert isinstance(state, GroupState)
        self.backend: Any = backend
        self.state, self.pages, self.shape = state, pages, shape
        self.caches: tuple[Cache, Cache] = (
            OwnKeys(past, lambda layer, keys, values: _Own(self, layer, keys, values)),
            SourceKeys(lambda layer: _Source(self, layer)),
        )

    @property
    def num_keys(self) -> int:
        """Places that are looked at."""
        most = self.state.most_pages * PAGE_TOKENS
        return min(self.shape.num_keys or most, most)


class OwnKeys(Cache):
    """The decoder's self-attention; says of each row how long it is."""

    def __init__(self, past: Tensor, take: Callable[[int, Tensor, Tensor], Entries]) -> None:
        super().__init__(layers=[])
        self._past, self._take = past, take

    def get_seq_length(self, layer_idx: int = 0) -> Any:
        """The length before this token, for each row: models count positions from it."""
        return self._past

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Any, Any]:
        """Hands new keys and values on."""
        entries = self._take(layer_idx, by_row(key_states), by_row(value_states))
        return entries, entries


class SourceKeys(Cache):
    """The decoder's attention to what the encoder has read; or to what it reads now, if somebody takes it."""

    def __init__(
        self,
        find: Callable[[int], Entries],
        take: Callable[[int, Tensor, Tensor], None] | None = None,
    ) -> None:
        self._find, self._take = find, take
        super().__init__(layers=[])

    @property
    def layers(self) -> Any:
        """Models take keys and values of a layer straight from here."""
        return _Layers(self._find)

    @layers.setter
    def layers(self, _: Any) -> None:
        """The base class sets its own list, which is not used."""

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Not used to count positions."""
        return 0

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Any, Any]:
        """Hands the keys and values of sources on, (documents, heads, source tokens, head size)."""
        assert self._take is not None, "sources are in pages before anybody decodes"
        self._take(layer_idx, key_states, value_states)
        entries = self._find(layer_idx)
        return entries, entries


class _Layer:
    def __init__(self, entries: Entries) -> None:
        self.keys = self.values = entries


class _Layers:
    def __init__(self, find: Callable[[int], Entries]) -> None:
        self._find = find

    def __getitem__(self, layer: int) -> _Layer:
        return _Layer(self._find(layer))

    def __len__(self) -> int:
        return 0


class _Own(Entries):
    def __init__(self, step: JointStep, layer: int, keys: Tensor, values: Tensor) -> None:
        self._step, self._layer, self._keys, self._values = step, layer, keys, values
        self.num_keys = step.num_keys

    def attend(self, query: Tensor, scale: float, window: int, bias: Tensor | None) -> Tensor:
        step = self._step
        own = None if bias is None else bias[0]  # of (1, heads, rows, places)
        layer = Layer(self._layer, by_row(query), self._keys, self._values, scale, window, own)
        mixed: Tensor = step.backend.attend(step.state, step.pages, step.shape, layer)
        return mixed


class _Source(Entries):
    def __init__(self, step: JointStep, layer: int) -> None:
        self._step, self._layer = step, layer

    def attend(self, query: Tensor, scale: float, window: int, bias: Tensor | None) -> Tensor:
        # A bias is one of zeros here: T5 gives distances between two texts no meaning.
        step, queries = self._step, by_row(query)
        layer = Layer(self._layer, queries, queries, queries, scale, 0)
        mixed: Tensor = step.backend.attend_source(step.state, step.pages.source, step.shape, layer)
        return mixed


class Ignored(Entries):
    """Attention whose result nobody uses."""

    def __init__(self, num_heads: set[int] | None = None) -> None:
        """Sets up; `num_heads` is told how many heads queries have."""
        self._num_heads = num_heads

    def attend(self, query: Tensor, scale: float, window: int, bias: Tensor | None) -> Tensor:
        """Zeros."""
        queries = by_row(query)
        if self._num_heads is not None:
            self._num_heads.add(queries.shape[1])
        return torch.zeros_like(queries)


def by_row(states: Tensor) -> Tensor:
    """(1, heads, rows, size) or (rows, heads, 1, size) to (rows, heads, size), as a view."""
    return states[0].transpose(0, 1) if states.shape[0] == 1 else states[:, :, 0]
