"""The names of a classifier's labels, and what its logits mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from models.errors import CannotLoad


def label_names(id2label: Mapping[Any, Any] | None) -> list[str]:
    """A distinct name for each logit, in their order; one that occurs again is numbered: `neutral (2)`.

    Raises:
        CannotLoad: the numbers are not 0, 1, 2, ...: nobody knows which logit is which.
    """
    id2label = id2label or {}
    numbers = sorted(id2label)
    if numbers != list(range(len(numbers))):
        raise CannotLoad(
            f"id2label in config.json numbers its labels {', '.join(map(str, numbers))}: "
            "number them from 0, one each"
        )
    return _distinct([str(id2label[number]) for number in numbers])


def probabilities(logits: Tensor, problem_type: str | None) -> Tensor:
    """Scores as transformers' own pipeline makes them, by the problem that the model was trained for."""
    if problem_type == "regression":
        return logits
    if problem_type == "multi_label_classification" or logits.shape[-1] == 1:
        return logits.sigmoid()
    return logits.softmax(dim=-1)


def _distinct(names: Sequence[str]) -> list[str]:
    taken = set(names)
    seen: dict[str, int] = {}
    distinct = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            number = seen[name]
            while f"{name} ({number})" in taken:
                number += 1
            name = f"{name} ({number})"
            taken.add(name)
        distinct.append(name)
    return distinct
