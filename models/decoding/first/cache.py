"""transformers' cache interface over arenas.

`update` stores what the model computed and hands back a `Stored`, which only our
attention function looks into; the model itself asks it for a shape at most.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import Cache, EncoderDecoderCache

from models.decoding.first.step import StepPlan


class Stored:
    """Stands where a model expects keys or values: they are in arenas, by document."""

    def __init__(self, plan: StepPlan, layer: int, *, is_cross: bool) -> None:
        self.plan = plan
        self.layer = layer
        self.is_cross = is_cross

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """As of keys: the third number is how many positions are seen (T5 sizes its bias by it)."""
        return (1, 1, self.plan.num_positions, 1)


class StepCache(Cache):
    """The self-attention cache of one forward pass."""

    def __init__(self, plan: StepPlan, *, past: Tensor) -> None:
        super().__init__(layers=[])
        self._plan = plan
        self._past = past

    def get_seq_length(self, layer_idx: int = 0) -> Any:
        """The length before this token, for each row: models count positions from it."""
        return self._past

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Any, Any]:
        """Stores the keys and values of every row; both are (rows or 1, heads, 1 or rows, head size)."""
        keys, values = by_row(key_states), by_row(value_states)
        for part in self._plan.parts:
            stored = part.arena.layer(layer_idx, like=key_states)
            for target, states in zip(stored, (keys, values), strict=True):
                target[part.row_slots, :, part.entries] = states[part.rows]
        for run in self._plan.runs:
            stored = run.tenant.arena.layer(layer_idx, like=key_states)
            for target, states in zip(stored, (keys, values), strict=True):
                target[run.tenant.slot, :, run.start : run.stop] = states[run.rows].transpose(0, 1)
        handle = Stored(self._plan, layer_idx, is_cross=False)
        return handle, handle


class CrossCache(Cache):
    """The cross-attention cache of one forward pass: filled once for each document."""

    def __init__(self, plan: StepPlan) -> None:
        super().__init__(layers=[])
        self._plan = plan
        self._layers: dict[int, _CrossLayer] = {}

    @property
    def layers(self) -> Any:
        """Models take keys and values of a layer straight from here."""
        return _CrossLayers(self._plan)

    @layers.setter
    def layers(self, _: Any) -> None:
        """The base class sets its own list, which is not used."""

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Not used to count positions."""
        return 0

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[Any, Any]:
        """Stores what new documents' encoder gave: (documents, heads, source tokens, head size)."""
        for part in self._plan.parts:
            stored = part.arena.layer(layer_idx, like=key_states)
            for target, states in zip(stored, (key_states, value_states), strict=True):
                target[part.slots, :, : part.num_visible] = states[part.rows, :, : part.num_visible]
        handle = Stored(self._plan, layer_idx, is_cross=True)
        return handle, handle


class _CrossLayer:
    def __init__(self, handle: Stored) -> None:
        self.keys = self.values = handle


class _CrossLayers:
    def __init__(self, plan: StepPlan) -> None:
        self._plan = plan

    def __getitem__(self, layer: int) -> _CrossLayer:
        return _CrossLayer(Stored(self._plan, layer, is_cross=True))

    def __len__(self) -> int:
        return 0


def joint_cache(own: StepCache, cross: CrossCache, *, is_encoded: bool) -> EncoderDecoderCache:
    """Both caches as encoder-decoders take them; `is_encoded`: cross-attention is stored already."""
    joint = EncoderDecoderCache(own, cross)
    joint.is_updated = _Always(is_encoded)
    return joint


class _Always(dict[int, bool]):
    """The same answer for every layer, whatever a model notes."""

    def __init__(self, answer: bool) -> None:
        super().__init__()
        self._answer = answer

    def get(self, key: int, default: Any = None) -> Any:
        return self._answer

    def __getitem__(self, key: int) -> bool:
        return self._answer


def by_row(states: Tensor) -> Tensor:
    """(1, heads, rows, size) or (rows, heads, 1, size) to (rows, heads, size), as a view."""
    return states[0].transpose(0, 1) if states.shape[0] == 1 else states[:, :, 0]
