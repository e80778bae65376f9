"""One thread that keeps every lease of the process alive and hears when one is lost."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence

from jobs.errors import StoreUnavailable
from jobs.store.interface import Store
from workers.slice_run import SliceRun

_log = logging.getLogger(__name__)


class Heartbeats:
    """Renews at every third of the lease, so that two beats may be missed."""

    def __init__(self, store: Store, *, lease_seconds: float, on_death: Callable[[], None]) -> None:
        self._store = store
        self._lease_seconds = lease_seconds
        self._on_death = on_death
        self._runs: set[SliceRun] = set()
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeats", daemon=True)

    def start(self) -> None:
        """Starts beating."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread."""
        self._stopping.set()
        self._thread.join(timeout=self._lease_seconds)

    def add(self, run: SliceRun) -> None:
        """From now on this lease is renewed."""
        with self._changed:
            self._runs.add(run)

    def remove(self, run: SliceRun) -> None:
        """The run has ended."""
        with self._changed:
            self._runs.discard(run)
            self._changed.notify_all()

    def wait_until_idle(self, timeout_seconds: float) -> Sequence[SliceRun]:
        """Waits for the running slices; returns those still running."""
        with self._changed:
            self._changed.wait_for(lambda: not self._runs, timeout_seconds)
            return tuple(self._runs)

    def beat(self) -> None:
        """Renews once."""
        with self._changed:
            runs = {run.lease.key: run for run in self._runs}
        try:
            states = self._store.heartbeat(
                {key: run.lease.attempt for key, run in runs.items()}, lease_seconds=self._lease_seconds
            )
        except StoreUnavailable as error:
            _log.warning("heartbeat_failed: %s", error)
            return
        for key, state in states.items():
            runs[key].heard(state)

    def _run(self) -> None:
        try:
            next_at = time.monotonic()
            while not self._stopping.wait(max(0.0, next_at - time.monotonic())):
                next_at = time.monotonic() + self._lease_seconds / 3
                self.beat()
        except BaseException:
            _log.exception("heartbeats_died")
            self._on_death()
            raise
