"""The end of a process whose device loop is dead: whoever waited for it gives back first."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from workers.worker import Worker

_log = logging.getLogger(__name__)
#: For slices to be given back; what hangs on a ledger that is away is left to the end of its lease.
_LAST_SECONDS = 3.0


class OrderlyEnd:
    """Begun by the first who notices; the others may go on."""

    def __init__(self, worker: Worker, *, die: Callable[[], None]) -> None:
        """Does nothing yet.

        Args:
            worker: takes nothing more from then on.
            die: ends the process at once.
        """
        self._worker = worker
        self._die = die
        self._begun = threading.Lock()

    def begin(self) -> None:
        """Returns at once; the process ends when its slices are given back, or after some seconds."""
        if self._begun.acquire(blocking=False):
            threading.Thread(target=self._end, name="orderly-end", daemon=True).start()

    def _end(self) -> None:
        try:
            self._worker.stop(grace_seconds=_LAST_SECONDS)
        except Exception:
            _log.exception("orderly_end_failed")
        finally:
            self._die()
