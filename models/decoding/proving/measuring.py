"""What a model's layers keep, and how many tokens it knows, by trying one token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from models.decoding.attention.interface import Layer, Step
from models.decoding.passes.forward import Forward
from models.decoding.scheduling.layout import Shape
from models.decoding.tensors.kv_pages import KVPages, LayerSize
from models.decoding.tensors.state import BatchState
from models.errors import NotSuited
from models.loading.registry import LoadedModel
from models.proving.reference import vocabulary_size


@dataclass(frozen=True)
class Measures:
    """Of a model."""

    layers: list[LayerSize]
    num_heads: int  #: most query heads of a layer
    head_size: int  #: largest of a layer's keys or values
    dtype: torch.dtype  #: of keys and values
    vocabulary: int
    is_plain: bool  #: scores are products of keys and queries, which are as long as values, and nothing else


def measure(loaded: LoadedModel, forward: Forward) -> Measures:
    """Tries one token.

    Raises:
        NotSuited: its keys and values are nothing that pages hold; the message says why.
    """
    measuring = _Measuring()
    device = loaded.device.torch
    state = BatchState(
        num_seats=1, most_pages=1, max_chunk=0, max_begun=1, vocabulary=vocabulary_size(loaded), device=device
    )
    step = Step(measuring, state, KVPages([], torch.float32, device), Shape(1, 0))
    try:
        with torch.inference_mode(), forward.made_ours():
            scores = forward.scores(state.token_ids[:1], state.positions[:1], step, 1)
    except (NotSuited, torch.AcceleratorError):
        raise
    except Exception as error:  # a model's own code may raise anything at all
        raise NotSuited(f"its code raised {type(error).__name__}: {error}") from error
    return measuring.found(forward.vocabulary or scores.shape[1])


class _Measuring:
    """An attention that notes sizes and computes nothing."""

    def __init__(self) -> None:
        self._layers: dict[int, Layer] = {}

    def begin(self, state: BatchState, shape: Shape) -> None:
        pass

    def attend(self, state: BatchState, pages: KVPages, shape: Shape, layer: Layer) -> Tensor:
        if layer.queries.shape[1] % layer.keys.shape[1] or layer.keys.shape[1] != layer.values.shape[1]:
            raise NotSuited("heads that share their keys unevenly")
        self._layers[layer.number] = layer
        return layer.queries.new_zeros((*layer.queries.shape[:2], layer.values.shape[2]))

    def found(self, vocabulary: int) -> Measures:
        layers: Mapping[int, Layer] = self._layers
        if not layers or sorted(layers) != list(range(len(layers))):
            raise NotSuited("layers that share their keys, or have none")
        ordered = [layers[number] for number in range(len(layers))]
        return Measures(
            layers=[
                LayerSize(each.keys.shape[1], each.keys.shape[2], each.values.shape[2]) for each in ordered
            ],
            num_heads=max(each.queries.shape[1] for each in ordered),
            head_size=max(max(each.keys.shape[2], each.values.shape[2]) for each in ordered),
            dtype=ordered[0].keys.dtype,
            vocabulary=vocabulary,
            is_plain=all(each.is_plain and each.keys.shape == each.values.shape for each in ordered),
        )
