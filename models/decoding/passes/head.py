"""The product that ends a model: from hidden states to scores of the vocabulary."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.nn import functional

from models.decoding.scheduling.layout import padded


class Head:
    """One product, whose rows begin where a GPU reads well: an odd vocabulary takes six times as long."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        """Pads what is not of a good size, which takes a copy.

        Args:
            weight: (vocabulary, hidden size).
            bias: (vocabulary,).
        """
        self.vocabulary = len(weight)
        padding = padded(self.vocabulary) - self.vocabulary
        self._weight, self._bias = weight.detach(), None if bias is None else bias.detach()
        if padding:
            self._weight = functional.pad(self._weight, (0, 0, 0, padding))
            self._bias = None if self._bias is None else functional.pad(self._bias, (0, padding))

    def __call__(self, hidden: Tensor) -> Tensor:
        """Of (rows, hidden size), (rows, vocabulary and perhaps some columns that mean nothing)."""
        return functional.linear(hidden, self._weight, self._bias)


def head_of(model: Any) -> Head | None:
    """A model's output embeddings, with what BART and its kin add to their scores; None: it has none."""
    head = model.get_output_embeddings()
    if head is None or not isinstance(getattr(head, "weight", None), Tensor):
        return None
    biases = [
        bias
        for bias in (getattr(head, "bias", None), getattr(model, "final_logits_bias", None))
        if bias is not None
    ]
    bias = sum(each.detach().flatten() for each in biases) if biases else None
    return Head(head.weight, bias)
