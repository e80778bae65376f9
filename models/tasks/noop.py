"""The engine that computes nothing: model reference `noop:`.

It answers every document at its next step with an output of its task's shape, so
that a run measures what the system itself costs, from upload to download, and so
that everything around a model can be tried without one. It needs no torch.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

from models.records import DocumentInput, DocumentOutput, ModelSpec

NOOP_PREFIX = "noop:"

_OUTPUTS: Mapping[str, Mapping[str, Any]] = {
    "generation": {"text": "", "finish_reason": "stop"},
    "translation": {"text": ""},
    "sentiment": {"label": "POSITIVE", "score": 0.5, "scores": {"POSITIVE": 0.5, "NEGATIVE": 0.5}},
    "qa": {"answer": "", "score": 0.0, "start": 0, "end": 0},
}
_PROVENANCE = {"model_revision": "noop", "dtype": "none"}


class NoopEngine:
    """Answers at once; see the module."""

    def __init__(self, spec: ModelSpec) -> None:
        self._output = _OUTPUTS[spec.task]
        self._waiting: dict[Hashable, DocumentInput] = {}
        self._steps = 0

    def submit(self, documents: Sequence[DocumentInput]) -> None:
        """Queues documents."""
        self._waiting.update((document.key, document) for document in documents)

    def cancel(self, keys: Collection[Hashable]) -> None:
        """Drops documents."""
        for key in keys:
            self._waiting.pop(key, None)

    def step(self) -> list[DocumentOutput]:
        """Answers everything that waits."""
        self._steps += 1
        waiting, self._waiting = self._waiting, {}
        return [DocumentOutput(key=key, output=self._output, provenance=_PROVENANCE) for key in waiting]

    @property
    def has_work(self) -> bool:
        """Whether a document waits."""
        return bool(self._waiting)

    def describe(self) -> Mapping[str, Any]:
        """Facts and counters."""
        return {
            "parameters": 0,
            "memory_bytes": 0,
            "dtype": "none",
            "device": "none",
            "revision": "noop",
            "steps": self._steps,
        }

    def close(self) -> None:
        """Drops everything."""
        self._waiting.clear()
