"""Position tables that grow by themselves, for rows that each have a length of their own.

M2M100, NLLB and a few others compare the length before a token with the size of their
table, which only works for one length.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class PositionsByRow(nn.Module):
    """Stands before such a table; takes lengths by row, and leaves everything else to it."""

    def __init__(self, table: Any) -> None:
        super().__init__()
        self.table = table

    def forward(
        self,
        input_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        cache_length: int | Tensor = 0,
        **options: Any,
    ) -> Tensor:
        """The embeddings of the positions of `input_ids`, (rows, 1)."""
        if input_ids is None or not isinstance(cache_length, Tensor):
            result: Tensor = self.table(input_ids, inputs_embeds, cache_length, **options)
            return result
        positions = self.table.create_position_ids_from_input_ids(
            input_ids, self.table.padding_idx, cache_length
        )
        weights: Tensor = self.table.weights
        return weights[positions]


def adapt_positions(model: nn.Module) -> None:
    """Puts `PositionsByRow` before every such table of the model; may be called again."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if _grows_by_itself(child) and not isinstance(parent, PositionsByRow):
                setattr(parent, name, PositionsByRow(child))


def _grows_by_itself(module: nn.Module) -> bool:
    return (
        hasattr(module, "make_weights")
        and hasattr(module, "create_position_ids_from_input_ids")
        and isinstance(getattr(module, "weights", None), torch.Tensor)
    )
