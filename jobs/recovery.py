"""The sweeper: a thread that mends what crashes left behind and re-sends what was lost.

It runs in the API and in every worker; sweeps are idempotent, so nobody elects a leader.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from jobs.dispatch import Dispatcher
from jobs.errors import TextmillError
from jobs.records import SweepReport
from jobs.settings import Settings
from jobs.store.interface import Store

_log = logging.getLogger(__name__)
_DAY_SECONDS = 86_400.0


class Sweeper:
    """Sweeps at once and then every `sweep_seconds` until stopped."""

    def __init__(
        self, store: Store, dispatcher: Dispatcher, settings: Settings, *, on_death: Callable[[], None]
    ) -> None:
        """Builds the thread; `start` runs it.

        Args:
            store: swept.
            dispatcher: sends what the sweep reopened, and what was never sent.
            settings: `sweep_seconds`, `max_crashes` and `keep_days`.
            on_death: called when the thread ends by an error nobody foresaw; a process
                without a sweeper must not go on.
        """
        self._store = store
        self._dispatcher = dispatcher
        self._interval_seconds = settings.sweep_seconds
        self._max_crashes = settings.max_crashes
        self._keep_seconds = settings.keep_days and settings.keep_days * _DAY_SECONDS
        self._on_death = on_death
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sweeper", daemon=True)

    def start(self) -> None:
        """Starts sweeping."""
        self._thread.start()

    def stop(self) -> None:
        """Ends after the sweep in progress."""
        self._stopping.set()
        self._thread.join(timeout=10)

    def sweep(self) -> None:
        """One sweep; a store or broker that is away is tried again at the next."""
        try:
            report = self._store.sweep(max_crashes=self._max_crashes, keep_seconds=self._keep_seconds)
            if report != SweepReport():
                _log.info("swept: %s", report)
            self._dispatcher.release()
        except TextmillError as error:
            if not error.is_retryable:
                raise
            _log.warning("sweep_failed: %s", error)

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self.sweep()
                self._stopping.wait(self._interval_seconds)
        except BaseException:
            _log.exception("sweeper_died")
            self._on_death()
            raise
