"""What all engines of documents share: queueing, preparing, assembling, failing alone.

A document is prepared into pieces, a core computes pieces (in batches, or continuously),
and when all pieces of a document are done its output is assembled.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections import defaultdict
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from models.batching.core import Core, Result, as_document_error
from models.batching.plan import Piece
from models.errors import DocumentError
from models.memory import release_cached_memory, return_freed_memory
from models.records import DocumentInput, DocumentOutput
from models.tasks.documents.portions import Portions
from models.tasks.documents.under_way import UnderWay
from models.tasks.documents.waiting import WaitingDocuments

if TYPE_CHECKING:  # it brings all of transformers, and there are engines without
    from models.loading.registry import LoadedModel

#: Documents are tokenised so many characters at a time, so that no step takes long.
_WINDOW_CHARACTERS = 500_000
#: Tokenising a text of so many leaves tens of megabytes behind; short ones use again what others left.
_LARGE_CHARACTERS = 100_000
#: A portion of a long document has as many tokens as so many full batches.
_PORTION_BATCHES = 2
#: Of the documents that come in at a time, one in so many may go ahead of those inside, each step.
_AHEAD_SHARE = 8


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
class PieceData:
    """A piece before it belongs to a document; see `Piece`."""

    num_tokens: int
    data: Any
    num_rows: int = 1
    num_padding: int = 0


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A document made ready: its pieces, without their keys, and what assembling needs."""

    pieces: Sequence[PieceData]
    input_tokens: int
    facts: Any = None


class DocumentEngine(ABC):
    """An engine in front of a core; a task fills in two methods."""

    def __init__(self, loaded: LoadedModel, core: Core) -> None:
        self.loaded = loaded
        self._core = core
        self._waiting = WaitingDocuments()
        self._open: dict[Hashable, OpenDocument] = {}
        self._under_way = UnderWay()
        self._portions = Portions(_PORTION_BATCHES * loaded.spec.max_batch_tokens)

    # What a task fills in.

    @abstractmethod
    def prepare(self, documents: Sequence[DocumentInput]) -> list[Prepared | DocumentError]:
        """Tokenises; one answer for each document, in order."""

    @abstractmethod
    def assemble(self, opened: OpenDocument) -> DocumentOutput:
        """Makes the output from the results of all pieces; may raise a `DocumentError`."""

    # The engine's interface.

    def submit(self, documents: Sequence[DocumentInput]) -> None:
        """Queues documents."""
        for document in documents:
            self._waiting.add(document)

    def cancel(self, keys: Collection[Hashable]) -> None:
        """Drops documents."""
        for key in keys:
            self._waiting.discard(key)
            self._leave(key)
        self._core.discard(keys)

    @property
    def has_work(self) -> bool:
        """Whether a document waits or is being computed."""
        return bool(self._waiting) or bool(self._open)

    def step(self) -> list[DocumentOutput]:
        """Takes in documents when they are next, then lets the core do one step."""
        outputs = self._take_in_ahead()
        priority = self._waiting.best_priority
        if priority is not None and (self._core.wants(priority) or self._portions.are_due):
            documents = self._waiting.take(
                max_documents=self._core.max_window, max_characters=_WINDOW_CHARACTERS
            )
            outputs += self._take_in(documents, priority)
        self._go_on()
        if self._open:
            outputs += self._collect(self._core.step())
        return outputs

    def describe(self) -> Mapping[str, Any]:
        """Facts and counters."""
        return {**self.loaded.facts, **self._core.facts, **self._core.counters}

    def close(self) -> None:
        """Frees the model's memory."""
        self._waiting.clear()
        self._open.clear()
        self._under_way = UnderWay()
        self._portions.clear()
        self._core.close()
        del self.loaded, self._core
        release_cached_memory()

    # Taking in.

    def _take_in_ahead(self) -> list[DocumentOutput]:
        """Takes in some of those who have less inside than their share; they go ahead of the others."""
        if not self._open or not self._waiting:
            return []
        documents = self._waiting.take_if(
            lambda document: self._under_way.lead(document) > 0,
            max_documents=max(1, self._core.max_window // _AHEAD_SHARE),
            max_characters=_WINDOW_CHARACTERS,
        )
        outputs: list[DocumentOutput] = []
        by_lead: defaultdict[float, list[DocumentInput]] = defaultdict(list)
        for document in documents:
            by_lead[self._under_way.lead(document)].append(document)
        for lead, alike in by_lead.items():
            priority = min(self._under_way.best_priority, *(document.priority for document in alike))
            outputs += self._take_in(alike, priority - lead)
        return outputs

    def _take_in(self, documents: Sequence[DocumentInput], priority: float) -> list[DocumentOutput]:
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
                self._under_way.enter(document)
                pieces += self._portions.first(_pieces_of(document.key, prepared.pieces))
            else:
                outputs.append(self._assemble(opened))
        self._core.add(pieces, priority)
        if any(document.num_characters >= _LARGE_CHARACTERS for document in documents):
            return_freed_memory()
        return outputs

    def _go_on(self) -> None:
        """The next portions of long documents, behind what came in before them."""
        for portion in self._portions.next_ones():
            self._core.add(portion, self._open[portion[0].key].document.priority)

    def _prepare_each(self, documents: Sequence[DocumentInput]) -> list[Prepared | DocumentError]:
        """All at once, which is faster; one at a time when that raises, to find out whose fault it is."""
        try:
            return self.prepare(documents)
        except Exception as error:
            if len(documents) == 1:
                return [as_document_error(error)]
            return list(itertools.chain.from_iterable(self._prepare_each([one]) for one in documents))

    # Handing out.

    def _collect(self, results: Sequence[Result]) -> list[DocumentOutput]:
        outputs: list[DocumentOutput] = []
        for piece, result in results:
            opened = self._open.get(piece.key)
            if opened is None:  # another piece of it failed a moment ago
                continue
            if isinstance(result, DocumentError):
                outputs.append(failure(piece.key, result))
                self._leave(piece.key)
                continue
            self._portions.note_done(piece)
            opened.results[piece.index] = result
            opened.num_missing -= 1
            if not opened.num_missing:
                outputs.append(self._assemble(opened))
                self._leave(piece.key)
        if outputs:
            self._core.discard([output.key for output in outputs])
        return outputs

    def _leave(self, key: Hashable) -> None:
        """The document is no longer inside, if it was."""
        opened = self._open.pop(key, None)
        if opened is not None:
            self._under_way.leave(opened.document)
            self._portions.forget(key)

    def _assemble(self, opened: OpenDocument) -> DocumentOutput:
        try:
            return self.assemble(opened)
        except Exception as error:
            return failure(opened.document.key, as_document_error(error))


def failure(key: Hashable, error: DocumentError) -> DocumentOutput:
    """The outcome of a document that failed."""
    return DocumentOutput(key=key, error_code=error.code, error_message=str(error))


def _pieces_of(key: Hashable, pieces: Sequence[PieceData]) -> list[Piece]:
    return [
        Piece(
            key=key,
            index=index,
            num_tokens=piece.num_tokens,
            num_rows=piece.num_rows,
            num_padding=piece.num_padding,
            data=piece.data,
        )
        for index, piece in enumerate(pieces)
    ]
