"""How many requests run together after a step that failed: fewer, until whoever is at fault is alone."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from models.decoding.scheduling.request import Request
from models.decoding.scheduling.scheduler import Scheduler
from models.errors import DocumentError, OutOfMemory
from models.memory import is_out_of_memory

logger = logging.getLogger(__name__)

#: Steps that must go well before twice as many requests run together again.
_RECOVER_AFTER = 100


class Recovery:
    """Bounds the scheduler for a while."""

    def __init__(self, scheduler: Scheduler, num_seats: int) -> None:
        self._scheduler = scheduler
        self._num_seats = num_seats
        self._num_good = 0

    def went_well(self) -> None:
        """Notes a step that did not fail."""
        self._num_good += 1
        if self._num_good >= _RECOVER_AFTER and self._scheduler.max_running < self._num_seats:
            self._scheduler.max_running *= 2
            self._num_good = 0

    def after(self, error: Exception, lost: Sequence[Request] = ()) -> Request | None:
        """Sends everybody who runs back to the beginning, or returns the one who is alone at fault.

        Args:
            error: what was raised.
            lost: requests that may run no more and have no result either.
        """
        running = list(self._scheduler.running.values())
        running += [request for request in lost if request.key not in self._scheduler.running]
        first = self._scheduler.next_waiting
        if not running and first is not None:
            running = [first]
        facts = {"num_documents": len(running), "reason": f"{type(error).__name__}: {error}"}
        logger.warning("step failed", extra={"action": "step_failed", **facts})
        self._num_good = 0
        if len(running) == 1:
            self._scheduler.max_running = self._num_seats
            return running[0]
        self._scheduler.max_running = max(1, len(running) // 2)
        for request in running:
            if request.key in self._scheduler.running:
                self._scheduler.leave(request)
            request.begin_again()
            self._scheduler.add(request)
        return None


def told(error: Exception) -> DocumentError:
    """What is said of a document whose step raised while it was alone in it."""
    if is_out_of_memory(error):
        return OutOfMemory()
    if isinstance(error, DocumentError):
        return error
    return DocumentError(f"the model raised {type(error).__name__}: {error}")
