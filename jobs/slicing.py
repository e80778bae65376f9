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
#: Rows between a slice's first document and its last, in slices' sizes: whoever claims it reads over
#: those of other models, so a slice of a rare model must not stretch over the whole job.
_MOST_STRETCH = 16


@dataclass(kw_only=True, slots=True)
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
        self._num_opened = 0
        #: every slice planned so far and not taken away, closed or not
        self.slices: list[PlannedSlice] = []

    def place(self, document: NewDocument) -> int:
        """The number of the slice this document goes to."""
        tokens = self._estimator.tokens(document)
        slice_ = self._filling.get(document.model)
        if slice_ is None or self._is_full(slice_, document, tokens):
            slice_ = self._open(document)
        slice_.last_seq = document.seq
        slice_.num_documents += 1
        slice_.tokens += tokens
        return slice_.number

    def take_closed(self) -> list[PlannedSlice]:
        """Takes away those to which no document will come any more."""
        filling = {slice_.number for slice_ in self._filling.values()}
        closed = [slice_ for slice_ in self.slices if slice_.number not in filling]
        self.slices = [slice_ for slice_ in self.slices if slice_.number in filling]
        return closed

    def take_all(self) -> list[PlannedSlice]:
        """Takes away the rest, when there are no more documents."""
        rest, self.slices, self._filling = self.slices, [], {}
        return rest

    def _is_full(self, slice_: PlannedSlice, document: NewDocument, more_tokens: int) -> bool:
        share = _FIRST_SHARE if self._always_small or slice_.number < _FIRST_SLICES else 1
        return (
            slice_.num_documents >= max(1, self._documents // share)
            or slice_.tokens + more_tokens > self._tokens // share
            or document.seq - slice_.first_seq >= _MOST_STRETCH * self._documents
        )

    def _open(self, document: NewDocument) -> PlannedSlice:
        slice_ = PlannedSlice(
            number=self._num_opened, task=document.task, model=document.model, first_seq=document.seq
        )
        self._num_opened += 1
        self.slices.append(slice_)
        self._filling[document.model] = slice_
        return slice_
