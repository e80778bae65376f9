"""A model's own forward pass as one fixed program: packed tokens in, scores of the rows out.

Everything in a transformer but attention works on each token by itself, so the tokens of all
rows and prompts stand in one sequence, each with its own position.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import functional

from models.decoding.attention.interface import Layer, Step, attending
from models.decoding.kv_pages import KVPages, LayerSize
from models.decoding.layout import Shape, padded
from models.decoding.state import BatchState
from models.errors import NotSuited
from models.registry import LoadedModel

if TYPE_CHECKING:
    from models.decoding.fused.fusion import Fusion


class PackedForward:
    """The model without its head, and the head."""

    def __init__(self, loaded: LoadedModel, fusion: Fusion | None = None) -> None:
        """Looks at what the model takes.

        Args:
            loaded: the model.
            fusion: kernels that take the place of several of the model's own.

        Raises:
            NotSuited: it counts positions by itself, or has no head of its own.
        """
        self.model: Any = loaded.model
        self._base: Any = self.model.base_model
        self._fusion = fusion
        takes = inspect.signature(self._base.forward).parameters
        if "position_ids" not in takes or self._base is self.model:
            raise NotSuited("positions that a model counts by itself")
        self._cache_name = "cache" if "cache" in takes else "past_key_values"
        head = self.model.get_output_embeddings()
        if head is None or not isinstance(getattr(head, "weight", None), Tensor):
            raise NotSuited("a head that is no product with one matrix")
        self.vocabulary = int(head.weight.shape[0])
        padding = padded(self.vocabulary) - self.vocabulary
        self._weight = head.weight.detach()
        bias = getattr(head, "bias", None)
        self._bias = None if bias is None else bias.detach()
        if padding:  # a copy
            self._weight = functional.pad(self._weight, (0, 0, 0, padding))
            self._bias = None if self._bias is None else functional.pad(self._bias, (0, padding))
        # Passes through the models' mask making untouched; our attention knows better.
        self._any_mask = torch.zeros((1, 1, 1, 1), dtype=self._weight.dtype, device=self._weight.device)

    @property
    def dtype(self) -> torch.dtype:
        """Of keys and values."""
        dtype: torch.dtype = self._weight.dtype
        return dtype

    @property
    def is_fused(self) -> bool:
        """Whether some modules compute by fused kernels."""
        return self._fusion is not None and self._fusion.num_replaced > 0

    def leave_plain(self) -> None:
        """From now on every module computes as transformers wrote it."""
        self._fusion = None

    @contextmanager
    def made_ours(self) -> Iterator[None]:
        """The model calls our attention and our kernels, as long as it lasts."""
        fused = nullcontext() if self._fusion is None else self._fusion.in_force()
        with attending(self.model), fused:
            yield

    def hidden(self, token_ids: Tensor, positions: Tensor, step: Step) -> Tensor:
        """(tokens, hidden size), of tokens (tokens,) at positions (tokens,)."""
        options = {self._cache_name: step}
        result: Tensor = self._base(
            input_ids=token_ids[None],
            position_ids=positions[None],
            attention_mask=self._any_mask,
            use_cache=True,
            **options,
        ).last_hidden_state[0]
        return result

    def scores(self, hidden: Tensor) -> Tensor:
        """(rows, vocabulary and some columns that mean nothing)."""
        return functional.linear(hidden, self._weight, self._bias)


def measure(forward: PackedForward, state: BatchState) -> tuple[list[LayerSize], int]:
    """Sizes of all layers' keys, and the most query heads of one, by trying one token.

    Raises:
        NotSuited: keys and values that pages do not hold.
    """
    measuring = _Measuring()
    no_pages = KVPages([], forward.dtype, state.device)
    step = Step(measuring, state, no_pages, Shape(1, 0))
    with torch.inference_mode(), forward.made_ours():
        forward.hidden(state.token_ids[:1], state.positions[:1], step)
    numbers = sorted(measuring.layers)
    if not numbers or numbers != list(range(len(numbers))):
        raise NotSuited("layers that share their keys, or have none")
    return [measuring.layers[number] for number in numbers], measuring.num_heads


class _Measuring:
    """An attention that notes sizes and computes nothing."""

    def __init__(self) -> None:
        self.layers: dict[int, LayerSize] = {}
        self.num_heads = 0

    def begin(self, state: BatchState, shape: Shape) -> None:
        pass

    def attend(self, state: BatchState, pages: KVPages, shape: Shape, layer: Layer) -> Tensor:
        _, num_heads, size = layer.queries.shape
        if layer.keys.shape[2] != size or layer.values.shape[2] != size or num_heads % layer.keys.shape[1]:
            raise NotSuited("keys and values of different sizes")
        self.layers[layer.number] = LayerSize(layer.keys.shape[1], size)
        self.num_heads = max(self.num_heads, num_heads)
        return torch.zeros_like(layer.queries)
