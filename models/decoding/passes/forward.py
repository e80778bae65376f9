"""A model's own forward pass over packed tokens: tokens in, scores of the rows out.

Everything in a transformer but attention works on each token by itself, so the tokens of all
rows and prompts stand in one sequence, each with its own position.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor

from models.decoding.attention.interface import Step, attending
from models.decoding.attention.own_code import has_only_slopes
from models.decoding.passes.head import head_of
from models.errors import NotSuited
from models.loading.registry import LoadedModel

if TYPE_CHECKING:
    from models.decoding.fused.fusion import Fusion


class Forward(Protocol):
    """A way of running a model."""

    model: Any
    vocabulary: int | None  #: tokens it knows; None: as many as there are scores

    def made_ours(self) -> Any:
        """The model calls our attention, as long as this context lasts."""
        ...

    def scores(self, token_ids: Tensor, positions: Tensor, step: Step, num_rows: int) -> Tensor:
        """Of the first rows, (rows, vocabulary and perhaps some columns that mean nothing).

        Args:
            token_ids: (tokens,).
            positions: (tokens,).
            step: the cache.
            num_rows: how many tokens, the first ones, are followed by another that is chosen now.
        """
        ...

    @property
    def is_fused(self) -> bool:
        """Whether some modules compute by fused kernels."""
        ...

    def leave_plain(self) -> None:
        """From now on every module computes as transformers wrote it."""
        ...


class WholeForward:
    """The model as it is, its head and what it does behind it included: for steps that are not captured."""

    vocabulary: int | None = None
    is_fused = False

    def __init__(self, loaded: LoadedModel) -> None:
        self.model: Any = loaded.model
        takes = inspect.signature(self.model.forward).parameters
        self._cache_name = "cache" if "cache" in takes else "past_key_values"
        self._takes_positions = "position_ids" in takes
        self._keeps_some = "logits_to_keep" in takes
        dtype = torch.float32 if loaded.dtype == "int8" else self.model.dtype
        # Passes through the models' mask making untouched; our attention knows better.
        self._any_mask = torch.zeros((1, 1, 1, 1), dtype=dtype, device=loaded.device.torch)

    def leave_plain(self) -> None:
        """It is."""

    @contextmanager
    def made_ours(self) -> Iterator[None]:
        """As the interface says."""
        with attending(self.model):
            yield

    def scores(self, token_ids: Tensor, positions: Tensor, step: Step, num_rows: int) -> Tensor:
        """As the interface says."""
        options: dict[str, Any] = {self._cache_name: step}
        if self._takes_positions:
            options["position_ids"] = positions[None]
        step.past = partial(_past, positions)
        if self._keeps_some and num_rows < len(positions):
            options["logits_to_keep"] = torch.arange(max(1, num_rows), device=positions.device)
        result: Tensor = self.model(
            input_ids=token_ids[None], attention_mask=self._any_mask, use_cache=True, **options
        ).logits[0, :num_rows]
        return result


def _past(positions: Tensor) -> Tensor:
    """Where a model that counts positions by itself begins: it adds the place in the step."""
    return positions - torch.arange(len(positions), device=positions.device)


class PackedForward:
    """The model without its head, and the head as one product: a fixed program."""

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
        self._takes_positions = "position_ids" in takes
        if self._base is self.model or not (self._takes_positions or has_only_slopes(self._base)):
            raise NotSuited("positions that a model counts by itself")
        self._cache_name = "cache" if "cache" in takes else "past_key_values"
        head = head_of(self.model)
        if head is None:
            raise NotSuited("a head that is no product with one matrix")
        self._head = head
        self.vocabulary: int | None = head.vocabulary
        # Passes through the models' mask making untouched; our attention knows better.
        self._any_mask = torch.zeros((1, 1, 1, 1), dtype=self.model.dtype, device=loaded.device.torch)

    @property
    def is_fused(self) -> bool:
        """As the interface says."""
        return self._fusion is not None and self._fusion.num_replaced > 0

    def leave_plain(self) -> None:
        """As the interface says."""
        self._fusion = None

    @contextmanager
    def made_ours(self) -> Iterator[None]:
        """The model calls our attention and our kernels, as long as it lasts."""
        fused = nullcontext() if self._fusion is None else self._fusion.in_force()
        with attending(self.model), fused:
            yield

    def scores(self, token_ids: Tensor, positions: Tensor, step: Step, num_rows: int) -> Tensor:
        """As the interface says."""
        options: dict[str, Any] = {self._cache_name: step}
        if self._takes_positions:
            options["position_ids"] = positions[None]
        hidden = self._base(
            input_ids=token_ids[None],
            attention_mask=self._any_mask,
            use_cache=True,
            **options,
        ).last_hidden_state[0]
        return self._head(hidden[:num_rows])
