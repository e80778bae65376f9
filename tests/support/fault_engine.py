"""An engine that is slow on purpose and does what a document's text tells it to do.

A text is answered after the pace; `kill` ends the process and `hang` the step, as poison
does. The answer is a function of the text, so that an audit can tell a wrong result
from a right one.
"""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any

from models.records import DocumentInput, DocumentOutput, ModelSpec

PACE_VARIABLE = "TEXTMILL_FAULT_PACE_SECONDS"
_PER_STEP = 8


def answer_to(text: str) -> str:
    """The right answer."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class FaultEngine:
    """Implements `Engine`; see the module."""

    def __init__(self, spec: ModelSpec) -> None:
        self._pace_seconds = float(os.environ.get(PACE_VARIABLE, "0"))
        self._waiting: dict[Hashable, DocumentInput] = {}
        self._never = threading.Event()

    def submit(self, documents: Sequence[DocumentInput]) -> None:
        self._waiting.update((document.key, document) for document in documents)

    def cancel(self, keys: Collection[Hashable]) -> None:
        for key in keys:
            self._waiting.pop(key, None)

    def step(self) -> list[DocumentOutput]:
        batch = [self._waiting.pop(key) for key in list(self._waiting)[:_PER_STEP]]
        self._never.wait(self._pace_seconds * len(batch))
        for document in batch:
            if document.text == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if document.text == "hang":
                self._never.wait()
        return [
            DocumentOutput(key=document.key, output={"label": answer_to(document.text)}) for document in batch
        ]

    @property
    def has_work(self) -> bool:
        return bool(self._waiting)

    def describe(self) -> Mapping[str, Any]:
        return {"memory_bytes": 0}

    def close(self) -> None:
        self._waiting.clear()
