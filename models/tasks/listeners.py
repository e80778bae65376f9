"""Documents whose texts are told while they are decoded, at a pace that costs the others little."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass

from models.tasks.growing_text import GrowingText

logger = logging.getLogger(__name__)

#: A text is looked at no oftener, and all of them together no oftener than so many a second: a look
#: takes some 30 microseconds of the thread that computes for everybody.
_LOOK_SECONDS = 0.02
_LOOKS_A_SECOND = 1000


@dataclass
class _Listener:
    text: GrowingText
    tell: Callable[[str], None]
    next_look_at: float = 0.0


class Listeners:
    """Who wants to hear what there is so far."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._listeners: dict[Hashable, _Listener] = {}

    def enter(self, key: Hashable, text: GrowingText, tell: Callable[[str], None]) -> None:
        """From now on each piece of a document's text is told."""
        self._listeners[key] = _Listener(text, tell)

    def leave(self, keys: Collection[Hashable]) -> None:
        """Nothing more is told of these; who was not there is passed over."""
        for key in keys:
            self._listeners.pop(key, None)

    def clear(self) -> None:
        """Nothing more is told."""
        self._listeners.clear()

    def tell(self, so_far: Callable[[Hashable], Sequence[int]]) -> None:
        """Tells what is new, to those whose turn it is.

        Args:
            so_far: the tokens of a document.
        """
        if not self._listeners:
            return
        now = self._clock()
        pause = max(_LOOK_SECONDS, len(self._listeners) / _LOOKS_A_SECOND)
        for key, listener in list(self._listeners.items()):
            if now >= listener.next_look_at:
                listener.next_look_at = now + pause
                self._tell_one(key, listener, so_far(key))

    def _tell_one(self, key: Hashable, listener: _Listener, ids: Sequence[int]) -> None:
        try:
            piece = listener.text.more(ids) if ids else ""
            if piece:
                listener.tell(piece)
        except Exception:  # the result tells all; whoever listens must not cost the others theirs
            logger.warning("listener dropped", exc_info=True, extra={"action": "listener_dropped"})
            self.leave([key])
