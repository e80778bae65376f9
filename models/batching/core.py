"""What computes the pieces of documents, in steps."""

from __future__ import annotations

import logging
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any, Protocol

from models.batching.plan import Piece
from models.errors import DocumentError

logger = logging.getLogger(__name__)

Result = tuple[Piece, Any]  #: a piece, and what came of it: a `DocumentError`, or what its core computes


class Core(Protocol):
    """Computes pieces, in steps."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """Facts of `Engine.describe`: how it computes."""
        ...

    @property
    def counters(self) -> Mapping[str, int]:
        """Counters of `Engine.describe`."""
        ...

    @property
    def max_window(self) -> int:
        """How many documents to take in at a time."""
        ...

    def wants(self, priority: float) -> bool:
        """Whether documents of this priority should come in now."""
        ...

    def add(self, pieces: Sequence[Piece], priority: float) -> None:
        """Queues pieces."""
        ...

    def discard(self, keys: Collection[Hashable]) -> None:
        """Nothing more is wanted of these documents; unknown ones are ignored."""
        ...

    def so_far(self, key: Hashable) -> Sequence[int]:
        """The new tokens of a document of one piece that is read early; none where they come all at once."""
        ...

    def step(self) -> list[Result]:
        """One bounded piece of work."""
        ...

    def close(self) -> None:
        """Drops everything."""
        ...


def as_document_error(error: Exception) -> DocumentError:
    """What is told of a document that raised: the error itself if it was meant for it."""
    if isinstance(error, DocumentError):
        return error
    logger.warning("document failed", exc_info=error, extra={"action": "document_failed"})
    return DocumentError(f"the model raised {type(error).__name__}: {error}")
