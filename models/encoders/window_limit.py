"""How many tokens a model reads at once, by what it does rather than by what it is called.

A table of positions shows itself in one short pass: it is looked up with consecutive
numbers, whose first one says how many of its entries are not for tokens (RoBERTa and its
kin count from behind the padding id). The configuration and the tokenizer may name
smaller limits; what they name in other words for "none" (-1, None, 10^30) is none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from models.loading.registry import LoadedModel

#: More is read in windows whatever the model allows: one document must not hold a device for minutes.
_LONGEST_TOKENS = 32_768
#: For models without any limit: their attention is of the plain kind, whose memory grows with the square.
_UNLIMITED_TOKENS = 4096


def max_window_tokens(loaded: LoadedModel, tables: Iterable[int]) -> int:
    """Tokens, special ones included, that the model reads at once.

    Args:
        loaded: the model.
        tables: tokens that its tables of positions have room for, by `noted_lookups`.
    """
    config = loaded.config.get_text_config()
    named = (getattr(config, "max_position_embeddings", None), loaded.tokenizer.model_max_length)
    limits = [*tables, *(int(one) for one in named if isinstance(one, int | float) and one > 0)]
    known = [limit for limit in limits if limit < 10**9]
    return min(*known, _LONGEST_TOKENS) if known else _UNLIMITED_TOKENS


def noted_lookups(compute: Callable[[], Any], num_tokens: int) -> Lookups:
    """What a pass over one row of `num_tokens` looks up."""
    lookups = Lookups(num_tokens)
    with lookups:
        compute()
    return lookups


class Lookups(TorchFunctionMode):
    """Notes which embeddings are looked up with consecutive numbers, and how many tokens are computed."""

    def __init__(self, num_tokens: int) -> None:
        super().__init__()
        self.room: list[int] = []  #: tokens that each table of positions has room for
        self.num_computed = num_tokens  #: more than the row has where a model pads it by itself
        self._num_tokens = num_tokens

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.nn.functional.embedding and len(args) > 1:
            self.num_computed = max(self.num_computed, args[0].numel())
            first = self._first_of_ramp(args[0])
            if first is not None:
                self.room.append(len(args[1]) - first)
        return func(*args, **(kwargs or {}))

    def _first_of_ramp(self, numbers: Tensor) -> int | None:
        if numbers.dim() == 0 or numbers.numel() != numbers.shape[-1] or numbers.numel() < self._num_tokens:
            return None
        own = numbers.flatten()[: self._num_tokens].tolist()  # some models pad a row by themselves
        return own[0] if own == list(range(own[0], own[0] + len(own))) else None
