"""Until when the leases of this process are good: nobody waits longer for the ledger than that."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from jobs.records import SliceKey

#: After its lease a slice may still be ours, and the fence tells: one look at the ledger is worth it.
_LEAST_SECONDS = 0.5
_REMEMBERED_SECONDS = 600.0


class LeaseEnds:
    """Thread-safe; forgets a lease some time after it is over."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._ends: dict[SliceKey, float] = {}
        self._lock = threading.Lock()

    def renewed(self, keys: Iterable[SliceKey], lease_seconds: float) -> None:
        """These leases were taken or renewed just now."""
        now = self._clock()
        with self._lock:
            self._ends = {key: end for key, end in self._ends.items() if end > now - _REMEMBERED_SECONDS}
            self._ends.update(dict.fromkeys(keys, now + lease_seconds))

    def left_seconds(self, key: SliceKey) -> float | None:
        """How long a wait for the ledger may last; None: this process never held the lease."""
        with self._lock:
            end = self._ends.get(key)
        return None if end is None else max(_LEAST_SECONDS, end - self._clock())
