"""Documents that wait: by priority, then in turn by group, then by age. Pure bookkeeping, no torch.

A priority that waits while others are served becomes more urgent, so that a stream of
urgent documents cannot keep the others out for ever.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from models.records import DocumentInput

_Group = OrderedDict[Hashable, DocumentInput]

#: Time after which waiting documents count as one priority more urgent.
_AGEING_SECONDS = 20.0


class WaitingDocuments:
    """Gives out documents so that a small job need not wait for a large one of its priority."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._levels: dict[int, OrderedDict[str, _Group]] = {}
        self._served_at_seconds: dict[int, float] = {}  # by level; when it was served last, or came to be
        self._places: dict[Hashable, tuple[int, str]] = {}

    def __len__(self) -> int:
        return len(self._places)

    @property
    def best_priority(self) -> float | None:
        """The priority of the documents that come out next, their waiting counted; None when none waits."""
        return min(map(self._urgency, self._levels)) if self._levels else None

    def add(self, document: DocumentInput) -> None:
        """Queues a document."""
        if document.priority not in self._levels:
            self._served_at_seconds[document.priority] = self._clock()
        level = self._levels.setdefault(document.priority, OrderedDict())
        level.setdefault(document.group, OrderedDict())[document.key] = document
        self._places[document.key] = (document.priority, document.group)

    def discard(self, key: Hashable) -> None:
        """Drops a document, if it is here."""
        place = self._places.pop(key, None)
        if place is not None:
            priority, group = place
            del self._levels[priority][group][key]
            self._tidy(priority, group)

    def take(self, *, max_documents: int, max_characters: int) -> list[DocumentInput]:
        """Documents of the best priority, one of each group in turn; at least one if any waits."""
        taken: list[DocumentInput] = []
        num_characters = 0
        priority = min(self._levels, key=self._urgency, default=None)
        while priority in self._levels and len(taken) < max_documents and num_characters < max_characters:
            group, documents = next(iter(self._levels[priority].items()))
            key, document = documents.popitem(last=False)
            del self._places[key]
            self._levels[priority].move_to_end(group)
            self._tidy(priority, group)
            taken.append(document)
            num_characters += document.num_characters
        if priority in self._levels:
            self._served_at_seconds[priority] = self._clock()
        return taken

    def clear(self) -> None:
        """Drops everything."""
        self._levels.clear()
        self._places.clear()

    def _urgency(self, priority: int) -> float:
        waited_seconds = self._clock() - self._served_at_seconds[priority]
        return priority - waited_seconds / _AGEING_SECONDS

    def _tidy(self, priority: int, group: str) -> None:
        if not self._levels[priority][group]:
            del self._levels[priority][group]
        if not self._levels[priority]:
            del self._levels[priority]
