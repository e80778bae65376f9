"""What jobs of a soak ask for. A job's metadata tells all of it, so that whoever finds the job can check it."""

from __future__ import annotations

import csv
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from jobs.records import DocumentStatus
from textmill.views import Result

ROWS, LABELS, STORIES = "rows", "labels", "stories"
STORY_TOKENS = 8
#: Of two ways of computing the same float32 score.
_TOLERANCE = 1e-4
_REVIEWS = Path(__file__).parents[2] / "examples" / "reviews.csv"

#: For each model that computes something, what transformers alone makes of each text.
Reference = Mapping[str, Mapping[str, Any]]


def real_texts() -> list[str]:
    """The texts that go to models with weights."""
    with _REVIEWS.open(encoding="utf-8", newline="") as file:
        return [row["review"] for row in csv.DictReader(file)]


_TEXTS = real_texts()


@dataclass(frozen=True, kw_only=True)
class Order:
    """One job to be."""

    model: str
    first: int  #: number of its first text
    count: int
    #: somebody may cancel it: its documents succeed or are cancelled
    may_be_cut: bool = False
    name: str = field(default_factory=lambda: uuid.uuid4().hex)  #: also its idempotency key

    @classmethod
    def of(cls, metadata: Mapping[str, Any]) -> Self:
        """From the metadata of a job."""
        return cls(**metadata)

    @property
    def metadata(self) -> dict[str, Any]:
        """What the job carries."""
        return asdict(self)

    @property
    def params(self) -> dict[str, Any]:
        """Of the job."""
        return {"max_new_tokens": STORY_TOKENS} if self.model == STORIES else {}

    @property
    def task(self) -> str:
        """Of the job."""
        return "generation" if self.model == STORIES else "sentiment"

    def text(self, seq: int) -> str:
        """Of the document in that place."""
        number = self.first + seq
        return f"row {number} of a long table" if self.model == ROWS else _TEXTS[number % len(_TEXTS)]

    def rows(self) -> Iterator[dict[str, str]]:
        """As they are sent."""
        return ({"text": self.text(seq), "custom_id": f"{self.name}-{seq}"} for seq in range(self.count))

    def faults_of(self, results: Iterable[Result], reference: Reference) -> list[str]:
        """What is wrong with a finished job's results; empty when each document has its one right outcome."""
        faults, seqs = [], []
        for result in results:
            seqs.append(result.seq)
            if problem := self._fault_of(result, reference):
                faults.append(f"{self.model} {self.name}, {result.seq}: {problem}")
        if seqs != list(range(self.count)):
            faults.append(f"{self.model} {self.name}: {len(seqs)} results of {self.count} documents")
        return faults

    def _fault_of(self, result: Result, reference: Reference) -> str | None:
        if result.custom_id != f"{self.name}-{result.seq}":
            return f"has the id {result.custom_id}"
        if result.status is DocumentStatus.CANCELLED and self.may_be_cut:
            return None
        if result.status is not DocumentStatus.SUCCEEDED or result.output is None:
            return f"{result.status}: {result.error}"
        if self.model in reference:
            right = reference[self.model][self.text(result.seq)]
            return None if _is_same(right, result.output) else f"{dict(result.output)} is not {right}"
        return None


def _is_same(right: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    return all(
        abs(value - given[name]) < _TOLERANCE if isinstance(value, float) else value == given[name]
        for name, value in right.items()
    )
