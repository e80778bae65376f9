"""Who has how many documents in an engine's core, and who has too few. Pure bookkeeping, no torch.

A core computes what it has taken in, in its own order. So that this is not for long one owner's
or one job's order, whoever has less under way than his share goes ahead of those who have more.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TypeVar

from models.records import DocumentInput

#: How much more urgent a document becomes, in priorities: the owner has too little here, or the job.
_LEAD_OF_OWNER = 0.5
_LEAD_OF_JOB = 0.25
Party = TypeVar("Party", str, int)


class UnderWay:
    """Counts documents by owner, and by job of each owner."""

    def __init__(self) -> None:
        self._num = 0
        self._of_priority: Counter[int] = Counter()
        self._of_owner: Counter[str] = Counter()
        self._of_job: dict[str, Counter[str]] = {}

    @property
    def best_priority(self) -> float:
        """The most urgent there is."""
        return min(self._of_priority, default=math.inf)

    def enter(self, document: DocumentInput) -> None:
        """It is in the core."""
        self._num += 1
        self._of_priority[document.priority] += 1
        self._of_owner[document.owner] += 1
        self._of_job.setdefault(document.owner, Counter())[document.group] += 1

    def leave(self, document: DocumentInput) -> None:
        """It has its outcome, or was dropped."""
        self._num -= 1
        _subtract(self._of_priority, document.priority)
        jobs = self._of_job[document.owner]
        _subtract(jobs, document.group)
        _subtract(self._of_owner, document.owner)
        if not jobs:
            del self._of_job[document.owner]

    def lead(self, document: DocumentInput) -> float:
        """By how much it goes ahead of what is under way; 0 when its owner and its job have their share."""
        if _has_too_few(self._of_owner, document.owner, self._num):
            return _LEAD_OF_OWNER
        jobs = self._of_job.get(document.owner, Counter())
        if _has_too_few(jobs, document.group, self._of_owner[document.owner]):
            return _LEAD_OF_JOB
        return 0.0


def _has_too_few(counts: Counter[str], party: str, total: int) -> bool:
    """Whether a party, were it there, would have less than an equal share."""
    num_parties = len(counts) + (party not in counts)
    return counts[party] * num_parties < total


def _subtract(counts: Counter[Party], party: Party) -> None:
    counts[party] -= 1
    if not counts[party]:
        del counts[party]
