"""What may stand in the device loop's waiting line: documents, a warm-up, a reservation.

The line is first come, first served: an entry whose model has no room yet holds up
everything behind it, so that busy models cannot keep another one out for ever.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field

from models.errors import ModelError
from models.loop.ticket import Ticket
from models.records import DocumentInput


@dataclass(eq=False)
class Submission:
    """Documents on their way into an engine."""

    number: int  #: names the ticket inside the loop
    ticket: Ticket
    documents: Sequence[DocumentInput]
    holder: Reservation | None = None  #: set on documents of whoever has the device alone

    def fail(self, error: ModelError) -> None:
        """Tells the waiter."""
        self.ticket.fail(error)


@dataclass(eq=False)
class WarmUp:
    """A model to load before anybody needs it."""

    model: str
    done: Future[None] = field(default_factory=Future)

    def fail(self, error: ModelError) -> None:
        """Tells the waiter."""
        if not self.done.done():
            self.done.set_exception(error)


@dataclass(eq=False)
class Reservation:
    """A wish to have the device alone; granted when nothing else is in any engine."""

    granted: Future[None] = field(default_factory=Future)

    def fail(self, error: ModelError) -> None:
        """Tells the waiter."""
        if not self.granted.done():
            self.granted.set_exception(error)


Entry = Submission | WarmUp | Reservation


class Waiters:
    """Everybody who waits for the loop, so that all can be told when it ends. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: set[Entry] = set()
        self._ended: ModelError | None = None

    @property
    def has_ended(self) -> bool:
        """Whether `end` was called."""
        return self._ended is not None

    def add(self, entry: Entry) -> bool:
        """Remembers a waiter; False, and the waiter told, when the end has come already."""
        with self._lock:
            if self._ended is None:
                self._entries.add(entry)
                return True
            ended = self._ended
        entry.fail(ended)
        return False

    def remove(self, entry: Entry) -> None:
        """This one has what it waited for."""
        with self._lock:
            self._entries.discard(entry)

    def end(self, error: ModelError) -> bool:
        """Tells everybody, now and from now on; False when that has happened before."""
        with self._lock:
            if self._ended is not None:
                return False
            self._ended = error
            entries, self._entries = self._entries, set()
        for entry in entries:
            entry.fail(error)
        return True
