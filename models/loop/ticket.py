"""A ticket: what a thread holds while the device loop computes its documents.

The loop's thread writes, the thread that submitted reads; both hold the ticket's own
lock, and only for as long as a list append takes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Sequence

from models.errors import ModelError
from models.records import DocumentInput, DocumentOutput


class Ticket:
    """Documents of one submit and what became of them, as it becomes known."""

    def __init__(
        self, model: str, documents: Sequence[DocumentInput], *, on_cancel: Callable[[Ticket], None]
    ) -> None:
        self.model = model
        self.keys: tuple[Hashable, ...] = tuple(document.key for document in documents)
        if len(set(self.keys)) != len(self.keys):
            raise ValueError("two documents of one ticket have the same key")
        self._on_cancel = on_cancel
        self._changed = threading.Condition()
        self._num_open = len(self.keys)
        self._ready: list[DocumentOutput] = []
        self._error: ModelError | None = None

    @property
    def num_open(self) -> int:
        """Documents whose output `outcomes` has not returned yet; 0 after a cancel."""
        return self._num_open

    def outcomes(self, timeout_seconds: float) -> list[DocumentOutput]:
        """The outputs that came since the last call; waits until there are some.

        Returns an empty list when none came in time, or when none is open any more.

        Raises:
            CannotLoad: the model cannot be loaded; `is_retryable` says whether later it may.
            LoopStopped: the worker is stopping; another one must do the rest.
            LoopDied: the loop is gone. Outputs that were ready are returned first.
        """
        with self._changed:
            self._changed.wait_for(self._has_news, timeout_seconds)
            if self._ready:
                outputs, self._ready = self._ready, []
                self._num_open -= len(outputs)
                return outputs
            if self._error is not None and self._num_open:
                raise self._error
            return []

    def cancel(self) -> None:
        """Drops every document that has no output yet; outputs not yet read are dropped too."""
        with self._changed:
            self._num_open = 0
            self._ready.clear()
            self._changed.notify_all()
        self._on_cancel(self)

    def deliver(self, outputs: Sequence[DocumentOutput]) -> None:
        """Called by the loop: these documents are done."""
        with self._changed:
            if self._num_open:  # else cancelled meanwhile: nobody wants them
                self._ready.extend(outputs)
                self._changed.notify_all()

    def fail(self, error: ModelError) -> None:
        """Called by the loop: no further output will come."""
        with self._changed:
            self._error = self._error or error
            self._changed.notify_all()

    def _has_news(self) -> bool:
        return bool(self._ready) or self._error is not None or not self._num_open
