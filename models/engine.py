"""What the device loop asks of every engine, and nothing more.

An engine serves one loaded model on one device. It is not thread-safe: only the
device loop's thread touches it. It answers every submitted document exactly once,
as an output, as a failure, or by being cancelled; a failure of one document never
touches another. An exception out of `step` means that the engine is broken and
the process must end: failures of documents are outputs, not exceptions.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any, Protocol

from models.records import DocumentInput, DocumentOutput


class Engine(Protocol):
    """Computes documents in steps."""

    def submit(self, documents: Sequence[DocumentInput]) -> None:
        """Queues documents; cheap, computes nothing. Keys must not be in the engine already."""
        ...

    def cancel(self, keys: Collection[Hashable]) -> None:
        """Drops these documents at once, wherever they are; unknown keys are ignored.

        No output follows for them.
        """
        ...

    def step(self) -> list[DocumentOutput]:
        """Does one bounded piece of work and returns the documents it finished.

        Bounded: one forward pass (or one batch of an encoder), so that cancel,
        new arrivals and other engines wait for one step at most.
        """
        ...

    @property
    def has_work(self) -> bool:
        """Whether a step would do anything."""
        ...

    def describe(self) -> Mapping[str, Any]:
        """Facts for people and counters for metrics.

        Facts: `parameters`, `memory_bytes` (parameters and buffers; what the warm
        pool counts), `dtype`, `device`, `revision`, `languages`, `max_tokens`.
        Counters: `steps`, `live_rows`, `padded_tokens`, `useful_tokens`.
        """
        ...

    def close(self) -> None:
        """Frees the model's memory. Documents still inside are dropped."""
        ...
