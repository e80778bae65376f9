"""Documents that wait: by priority, then in turn by owner and by job, then by age. No torch.

A priority that waits while others are served becomes more urgent, so that a stream of
urgent documents cannot keep the others out for ever.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from itertools import islice

from models.records import DocumentInput

_Group = OrderedDict[Hashable, DocumentInput]
_Owner = OrderedDict[str, _Group]
_Level = OrderedDict[str, _Owner]

#: Time after which waiting documents count as one priority more urgent.
_AGEING_SECONDS = 20.0
_MOST_PARTIES = 64  # looked at in one go, so that a step stays short whatever waits


class WaitingDocuments:
    """Gives out documents so that nobody waits for all that another owner, or a larger job, has here."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._levels: dict[int, _Level] = {}
        self._served_at_seconds: dict[int, float] = {}  # by level; when it was served last, or came to be
        self._documents: dict[Hashable, DocumentInput] = {}

    def __len__(self) -> int:
        return len(self._documents)

    @property
    def best_priority(self) -> float | None:
        """The priority of the documents that come out next, their waiting counted; None when none waits."""
        return min(map(self._urgency, self._levels)) if self._levels else None

    def add(self, document: DocumentInput) -> None:
        """Queues a document."""
        if document.priority not in self._levels:
            self._served_at_seconds[document.priority] = self._clock()
        level = self._levels.setdefault(document.priority, OrderedDict())
        owner = level.setdefault(document.owner, OrderedDict())
        owner.setdefault(document.group, OrderedDict())[document.key] = document
        self._documents[document.key] = document

    def discard(self, key: Hashable) -> None:
        """Drops a document, if it is here."""
        document = self._documents.get(key)
        if document is not None:
            self._remove(document)

    def take(self, *, max_documents: int, max_characters: int) -> list[DocumentInput]:
        """Documents of the best priority, one of each owner in turn; at least one if any waits."""
        taken: list[DocumentInput] = []
        num_characters = 0
        priority = min(self._levels, key=self._urgency, default=None)
        while priority in self._levels and len(taken) < max_documents and num_characters < max_characters:
            taken.append(self._take_turn(priority, next(iter(self._levels[priority]))))
            num_characters += taken[-1].num_characters
        if priority in self._levels:
            self._served_at_seconds[priority] = self._clock()
        return taken

    def take_if(
        self, is_wanted: Callable[[DocumentInput], bool], *, max_documents: int, max_characters: int
    ) -> list[DocumentInput]:
        """The next document of each owner and job whose turn need not have come, if it is wanted."""
        taken: list[DocumentInput] = []
        num_characters = 0
        for document in list(islice(self._heads(), _MOST_PARTIES)):
            if len(taken) >= max_documents or num_characters >= max_characters:
                break
            if is_wanted(document):
                self._remove(document)
                taken.append(document)
                num_characters += document.num_characters
        return taken

    def clear(self) -> None:
        """Drops everything."""
        self._levels.clear()
        self._documents.clear()

    def _heads(self) -> Iterator[DocumentInput]:
        """The oldest document of each job: the next job of each owner first, then their second ones."""
        jobs = [
            iter(owner.values())
            for priority in sorted(self._levels)
            for owner in self._levels[priority].values()
        ]
        while jobs:
            heads = [(job, next(job, None)) for job in jobs]
            jobs = [job for job, group in heads if group is not None]
            yield from (next(iter(group.values())) for _, group in heads if group is not None)

    def _take_turn(self, priority: int, owner: str) -> DocumentInput:
        """The next document of an owner, who then stands behind the others, as its job does."""
        group, documents = next(iter(self._levels[priority][owner].items()))
        document = next(iter(documents.values()))
        self._levels[priority].move_to_end(owner)
        self._levels[priority][owner].move_to_end(group)
        self._remove(document)
        return document

    def _remove(self, document: DocumentInput) -> None:
        level = self._levels[document.priority]
        owner = level[document.owner]
        del owner[document.group][document.key], self._documents[document.key]
        if not owner[document.group]:
            del owner[document.group]
        if not owner:
            del level[document.owner]
        if not level:
            del self._levels[document.priority]

    def _urgency(self, priority: int) -> float:
        waited_seconds = self._clock() - self._served_at_seconds[priority]
        return priority - waited_seconds / _AGEING_SECONDS
