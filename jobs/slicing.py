"""How documents are cut into slices: pure policy, no SQL.

A slice should be a second or two of work, so that a crash costs little and many
slices keep every worker busy. The first slices of a job are small: somebody is
waiting to see a first result.
"""

from __future__ import annotations

from dataclasses import dataclass

from jobs.estimate import Estimator
from jobs.records import NewDocument, Priority, Task

_FIRST_SLICES = 4
_FIRST_SHARE = 8  # the first slices are an eighth of the size


@dataclass(kw_only=True)
class PlannedSlice:
    """A slice being filled."""

    number: int
    task: Task
    model: str
    first_seq: int
    last_seq: int = 0
    num_documents: int = 0
    tokens: int = 0


class SlicePlanner:
    """Assigns each document, in order, to a slice of its model."""

    def __init__(
        self,
        *,
        slice_tokens: int,
        slice_documents: int,
        priority: Priority,
        estimator: Estimator | None = None,
    ) -> None:
        self._estimator = estimator or Estimator()
        self._tokens = slice_tokens
        self._documents = slice_documents
        self._always_small = priority is Priority.INTERACTIVE
        self._filling: dict[str, PlannedSlice] = {}
        #: every slice planned so far, closed or not
        self.slices: list[PlannedSlice] = []

    def place(self, document: NewDocument) -> int:
        """The number of the slice this document goes to."""
        tokens = self._estimator.tokens(document)
        slice_ = self._filling.get(document.model)
        if slice_ is None or self._is_full(slice_, tokens):
            slice_ = self._open(document)
        slice_.last_seq = document.seq
        slice_.num_documents += 1
        slice_.tokens += tokens
        return slice_.number

    def _is_full(self, slice_: PlannedSlice, more_tokens: int) -> bool:
        share = _FIRST_SHARE if self._always_small or slice_.number < _FIRST_SLICES else 1
        return (
            slice_.num_documents >= max(1, self._documents // share)
            or slice_.tokens + more_tokens > self._tokens // share
        )

    def _open(self, document: NewDocument) -> PlannedSlice:
        slice_ = PlannedSlice(
            number=len(self.slices), task=document.task, model=document.model, first_seq=document.seq
        )
        self.slices.append(slice_)
        self._filling[document.model] = slice_
        return slice_
