"""What all batch engines share: queueing, batching, and keeping failures to their document.

A document is prepared into pieces, pieces of like length are computed together, and
when all pieces of a document are done its output is assembled. One step takes in some
documents, or computes one batch, or both. A batch that fails is halved until the
document at fault is alone; the halves are planned as batches of their own, so that a
step stays one batch and a cancel gets in between.
"""

from __future__ import annotations

import itertools
import logging
from abc import ABC, abstractmethod
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from models.errors import DocumentError, NotFinite, OutOfMemory
from models.memory import is_out_of_memory, release_cached_memory
from models.records import DocumentInput, DocumentOutput
from models.registry import LoadedModel
from models.runners.plan import Batch, Piece, Plan, TokenBudget, into_batches, padded_tokens
from models.runners.waiting import WaitingDocuments

logger = logging.getLogger(__name__)

#: Documents taken in at a time: enough to find many of one length, few enough that
#: tokenising them takes no longer than a batch.
_WINDOW_DOCUMENTS = 512
_WINDOW_CHARACTERS = 500_000


@dataclass
class OpenDocument:
    """A document whose pieces are being computed."""

    document: DocumentInput
    input_tokens: int
    results: list[Any]
    facts: Any = None  #: what the engine noted for assembling
    num_missing: int = field(init=False)

    def __post_init__(self) -> None:
        self.num_missing = len(self.results)


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A document made ready: its pieces, without their keys, and what assembling needs."""

    pieces: Sequence[PieceData]
    input_tokens: int
    facts: Any = None


@dataclass(frozen=True, kw_only=True)
class PieceData:
    """A piece before it belongs to a document; see `Piece`."""

    num_tokens: int
    data: Any
    batch_key: Hashable = None
    num_rows: int = 1


class BatchEngine(ABC):
    """An engine that computes batches; a task fills in three methods."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded
        self._waiting = WaitingDocuments()
        self._open: dict[Hashable, OpenDocument] = {}
        self._plan = Plan()
        self._budget = TokenBudget(loaded.spec.max_batch_tokens)
        self._counters = {"steps": 0, "live_rows": 0, "padded_tokens": 0, "useful_tokens": 0}

    # What a task fills in.

    @abstractmethod
    def prepare(self, documents: Sequence[DocumentInput]) -> list[Prepared | DocumentError]:
        """Tokenises; one answer for each document, in order."""

    @abstractmethod
    def compute(self, pieces: Sequence[Piece]) -> list[Any]:
        """Computes one batch; a result for each piece, or a `DocumentError` in its place."""

    @abstractmethod
    def assemble(self, opened: OpenDocument) -> DocumentOutput:
        """Makes the output from the results of all pieces; may raise a `DocumentError`."""

    # The engine's interface.

    def submit(self, documents: Sequence[DocumentInput]) -> None:
        """Queues documents."""
        for document in documents:
            self._waiting.add(document)

    def cancel(self, keys: Collection[Hashable]) -> None:
        """Drops documents; planned pieces of theirs are skipped."""
        for key in keys:
            self._waiting.discard(key)
            self._open.pop(key, None)
        if not self._open:
            self._plan.clear()

    @property
    def has_work(self) -> bool:
        """Whether a document waits or is being computed."""
        return bool(self._waiting) or bool(self._open)

    def step(self) -> list[DocumentOutput]:
        """Takes in documents when they are next, then computes one batch."""
        outputs = self._take_in() if self._should_take_in() else []
        if self._plan.best_priority is not None:
            priority, batch = self._plan.pop()
            outputs += self._compute_batch(priority, [piece for piece in batch if piece.key in self._open])
        return outputs

    def describe(self) -> Mapping[str, Any]:
        """Facts and counters."""
        return {**self.loaded.facts, **self._counters, "batch_tokens": self._budget.tokens}

    def close(self) -> None:
        """Frees the model's memory."""
        self._waiting.clear()
        self._open.clear()
        self._plan.clear()
        del self.loaded
        release_cached_memory()

    # Taking in.

    def _should_take_in(self) -> bool:
        waiting, planned = self._waiting.best_priority, self._plan.best_priority
        return waiting is not None and (planned is None or waiting < planned)

    def _take_in(self) -> list[DocumentOutput]:
        documents = self._waiting.take(max_documents=_WINDOW_DOCUMENTS, max_characters=_WINDOW_CHARACTERS)
        outputs, pieces = [], []
        for document, prepared in zip(documents, self._prepare_each(documents), strict=True):
            if isinstance(prepared, DocumentError):
                outputs.append(failure(document.key, prepared))
                continue
            opened = OpenDocument(
                document, prepared.input_tokens, [None] * len(prepared.pieces), prepared.facts
            )
            if prepared.pieces:
                self._open[document.key] = opened
                pieces += _pieces_of(document.key, prepared.pieces)
            else:
                outputs.append(self._assemble(opened))
        self._plan.add(documents[0].priority, into_batches(pieces, max_tokens=self._budget.tokens))
        return outputs

    def _prepare_each(self, documents: Sequence[DocumentInput]) -> list[Prepared | DocumentError]:
        """All at once, which is faster; one at a time when that raises, to find out whose fault it is."""
        try:
            return self.prepare(documents)
        except Exception as error:
            if len(documents) == 1:
                return [error if isinstance(error, DocumentError) else _unexpected(error)]
            return list(itertools.chain.from_iterable(self._prepare_each([one]) for one in documents))

    # Computing.

    def _compute_batch(self, priority: int, batch: Batch) -> list[DocumentOutput]:
        if not batch:
            return []
        self._count(batch)
        try:
            with torch.inference_mode():
                results = self.compute(batch)
        except torch.AcceleratorError:
            raise  # the device itself has failed: nothing can be computed in this process any more
        except Exception as error:
            return self._divide(priority, batch, error)
        self._budget.note_success()
        return self._collect(priority, batch, results)

    def _divide(self, priority: int, batch: Batch, error: Exception) -> list[DocumentOutput]:
        """Plans the halves of a batch that failed; fails the document when it was alone."""
        if is_out_of_memory(error):
            self._budget.shrink(padded_tokens(batch))
            release_cached_memory()
        if len(batch) > 1:
            logger.warning(
                "batch divided",
                extra={
                    "action": "batch_divided",
                    "model": self.loaded.spec.name,
                    "num_pieces": len(batch),
                    "reason": type(error).__name__,
                },
            )
            middle = len(batch) // 2
            self._plan.put_first(priority, [batch[:middle], batch[middle:]])
            return []
        if is_out_of_memory(error):
            return self._fail(batch[0], OutOfMemory())
        return self._fail(batch[0], error if isinstance(error, DocumentError) else _unexpected(error))

    def _collect(self, priority: int, batch: Batch, results: Sequence[Any]) -> list[DocumentOutput]:
        outputs: list[DocumentOutput] = []
        for piece, result in zip(batch, results, strict=True):
            opened = self._open.get(piece.key)
            if opened is None:  # another piece of it failed a moment ago
                continue
            if isinstance(result, NotFinite) and len(batch) > 1:
                self._plan.put_first(priority, [[piece]])  # perhaps the company's fault: once more, alone
            elif isinstance(result, DocumentError):
                outputs += self._fail(piece, result)
            else:
                opened.results[piece.index] = result
                opened.num_missing -= 1
                if not opened.num_missing:
                    outputs.append(self._assemble(self._open.pop(piece.key)))
        return outputs

    def _assemble(self, opened: OpenDocument) -> DocumentOutput:
        try:
            return self.assemble(opened)
        except Exception as error:
            known = error if isinstance(error, DocumentError) else _unexpected(error)
            return failure(opened.document.key, known)

    def _fail(self, piece: Piece, error: DocumentError) -> list[DocumentOutput]:
        del self._open[piece.key]
        return [failure(piece.key, error)]

    def _count(self, batch: Batch) -> None:
        self._counters["steps"] += 1
        self._counters["live_rows"] += sum(piece.num_rows for piece in batch)
        self._counters["padded_tokens"] += padded_tokens(batch)
        self._counters["useful_tokens"] += sum(piece.num_tokens * piece.num_rows for piece in batch)


def failure(key: Hashable, error: DocumentError) -> DocumentOutput:
    """The outcome of a document that failed."""
    return DocumentOutput(key=key, error_code=error.code, error_message=str(error))


def _unexpected(error: Exception) -> DocumentError:
    logger.warning("document failed", exc_info=error, extra={"action": "document_failed"})
    return DocumentError(f"the model raised {type(error).__name__}: {error}")


def _pieces_of(key: Hashable, pieces: Sequence[PieceData]) -> list[Piece]:
    return [
        Piece(
            key=key,
            index=index,
            num_tokens=piece.num_tokens,
            batch_key=piece.batch_key,
            num_rows=piece.num_rows,
            data=piece.data,
        )
        for index, piece in enumerate(pieces)
    ]
