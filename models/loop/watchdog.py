"""A thread that asks one question over and over, and acts once on a bad answer."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Watchdog:
    """Calls `on_alarm` once, with the answer, as soon as `ask` answers anything."""

    def __init__(
        self, *, ask: Callable[[], str | None], on_alarm: Callable[[str], None], interval_seconds: float
    ) -> None:
        self._ask = ask
        self._on_alarm = on_alarm
        self._interval_seconds = interval_seconds
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="device-watchdog", daemon=True)

    def start(self) -> None:
        """Starts watching."""
        self._thread.start()

    def stop(self) -> None:
        """Stops watching; returns at once, also when called by the alarm itself."""
        self._stopped.set()

    def _run(self) -> None:
        while not self._stopped.wait(self._interval_seconds):
            answer = self._ask()
            if answer is not None:
                self._on_alarm(answer)
                return
