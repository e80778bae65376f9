"""A thread that sends the slices of jobs just stored, so that no submit waits for Redis."""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable

from jobs.dispatch import Dispatcher
from jobs.errors import TextmillError

_log = logging.getLogger(__name__)
_STOP_SECONDS = 2.0


class Sender:
    """Sends in the order of asking; what Redis refuses goes out later, by a sweep."""

    def __init__(self, dispatcher: Dispatcher, *, on_death: Callable[[], None]) -> None:
        """Builds the thread; `start` runs it.

        Args:
            dispatcher: sends.
            on_death: called when the thread ends by an error nobody foresaw.
        """
        self._dispatcher = dispatcher
        self._on_death = on_death
        self._job_ids: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="sender", daemon=True)

    def start(self) -> None:
        """Starts sending."""
        self._thread.start()

    def stop(self) -> None:
        """Sends what was asked for, but waits for no Redis that hangs: the sweepers know of it all."""
        self._job_ids.put(None)
        self._thread.join(timeout=_STOP_SECONDS)

    def send_soon(self, job_id: str) -> None:
        """Returns at once."""
        self._job_ids.put(job_id)

    def _run(self) -> None:
        try:
            while (job_id := self._job_ids.get()) is not None:
                self._send(job_id)
        except BaseException:
            _log.exception("sender_died")
            self._on_death()
            raise

    def _send(self, job_id: str) -> None:
        try:
            self._dispatcher.release(job_id)
        except TextmillError as error:
            if not error.is_retryable:
                raise
            _log.warning("dispatch_postponed: %s: %s", job_id, error)
