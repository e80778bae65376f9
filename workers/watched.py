"""A job that somebody watches: what there is to tell, until it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable

from jobs.watching import Told


class Watched:
    """Filled by the thread that computes, emptied by the one that tells; neither waits for the other."""

    def __init__(
        self, channel: str, attempt: int, *, wants_text: bool, on_news: Callable[[Watched], None]
    ) -> None:
        """Nothing is told yet.

        Args:
            channel: where it is told.
            attempt: of the slice.
            wants_text: whether the text is told as it comes, or only that the end is there.
            on_news: hears that there is something to take; must not wait.
        """
        self.channel = channel
        self.wants_text = wants_text
        self._attempt = attempt
        self._on_news = on_news
        self._lock = threading.Lock()
        self._pieces: list[str] = []
        self._num_told = 0  # characters
        self._is_settled = False
        self._is_announced = False
        self._is_over = False
        self._is_deserted = threading.Event()

    def hear(self, piece: str) -> None:
        """The text goes on."""
        with self._lock:
            self._pieces.append(piece)
        self._announce()

    def settled(self) -> None:
        """The result is in the ledger."""
        with self._lock:
            self._is_settled = True
        self._announce()

    def leave(self) -> None:
        """Nothing more will come from here; what is still unsaid is tried once more, and dropped."""
        with self._lock:
            self._is_over = True
        self._announce()

    @property
    def is_over(self) -> bool:
        """Whether nothing more will come."""
        return self._is_over

    @property
    def is_deserted(self) -> bool:
        """Whether nobody listened when that was last asked: the job may have been cancelled."""
        return self._is_deserted.is_set()

    @property
    def has_news(self) -> bool:
        """Whether something is to be told."""
        with self._lock:
            return bool(self._pieces) or self._is_settled

    def note_listeners(self, count: int) -> None:
        """How many listen."""
        if count:
            self._is_deserted.clear()
        else:
            self._is_deserted.set()

    def take(self) -> Told | None:
        """What is to be told now, as one message; None: nothing."""
        with self._lock:
            self._is_announced = False
            text = "".join(self._pieces)
            if not text and not self._is_settled:
                return None
            told = Told(attempt=self._attempt, start=self._num_told, text=text, is_settled=self._is_settled)
            self._pieces, self._is_settled = [], False
            self._num_told += len(text)
            return told

    def put_back(self, told: Told) -> None:
        """It reached nobody."""
        with self._lock:
            self._pieces.insert(0, told.text)
            self._num_told = told.start
            self._is_settled |= told.is_settled

    def _announce(self) -> None:
        with self._lock:
            if self._is_announced:
                return
            self._is_announced = True
        self._on_news(self)
