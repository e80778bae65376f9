"""An engine that is slow on purpose and does what a document's text tells it to do.

Batches, and what becomes of one that fails, are the product's own; only the model is not
there. A text is answered after the pace, and the answer is a function of the text, so that
an audit can tell a wrong result from a right one. Poison does what it is called: `kill` ends
the process, `hang` and `spin` never end the step, `raise`, `nan` and `memory` fail as models and devices do.
"""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from models.batching.batch_core import BatchCore
from models.batching.begun import at_once
from models.batching.plan import Piece
from models.errors import DocumentError, NotFinite
from models.records import DocumentInput, DocumentOutput, ModelSpec
from models.tasks.documents.document_engine import failure

PACE_VARIABLE = "TEXTMILL_FAULT_PACE_SECONDS"
#: What becomes of a poisonous document.
ERROR_OF = {
    "kill": "quarantined",
    "hang": "quarantined",
    "raise": "document_error",
    "nan": "not_finite",
    "memory": "out_of_memory",
}
_PER_BATCH = 8


def answer_to(text: str) -> str:
    """The right answer."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


class FaultEngine:
    """Implements `Engine`; see the module."""

    def __init__(self, spec: ModelSpec) -> None:
        self._pace_seconds = float(os.environ.get(PACE_VARIABLE, "0"))
        self._open: set[Hashable] = set()
        self._core = BatchCore(replace(spec, max_batch_tokens=_PER_BATCH), at_once(self._compute))
        self._never = threading.Event()

    def submit(self, documents: Sequence[DocumentInput]) -> None:
        self._open.update(document.key for document in documents)
        pieces = [Piece(key=d.key, index=0, num_tokens=1, data=d.text) for d in documents]
        self._core.add(pieces, 0.0)

    def cancel(self, keys: Collection[Hashable]) -> None:
        self._open.difference_update(keys)
        self._core.discard(keys)

    def step(self) -> list[DocumentOutput]:
        outputs = [_output(piece, result) for piece, result in self._core.step()]
        self.cancel([output.key for output in outputs])
        return outputs

    @property
    def has_work(self) -> bool:
        return bool(self._open)

    def describe(self) -> Mapping[str, Any]:
        return {"memory_bytes": 0}

    def close(self) -> None:
        self._open.clear()
        self._core.close()

    def _compute(self, batch: Sequence[Piece]) -> list[str | NotFinite]:
        self._never.wait(self._pace_seconds * len(batch))
        texts = [piece.data for piece in batch]
        if "kill" in texts:
            os.kill(os.getpid(), signal.SIGKILL)
        if "hang" in texts:
            self._never.wait()
        while "spin" in texts:  # for ever, but not without the processor
            self._never.wait(0.005)
        if "raise" in texts:
            raise IndexError("index out of range in self")
        if "memory" in texts:
            raise MemoryError
        return [NotFinite() if text == "nan" else answer_to(text) for text in texts]


def _output(piece: Piece, result: Any) -> DocumentOutput:
    if isinstance(result, DocumentError):
        return failure(piece.key, result)
    return DocumentOutput(key=piece.key, output={"label": result})
