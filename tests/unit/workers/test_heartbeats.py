"""The thread that keeps leases alive: how often it beats, and that nobody works without it."""

from __future__ import annotations

import threading

import pytest

from tests.support.waiting import wait_until
from tests.unit.workers.conftest import LEASE_SECONDS, Bench
from workers.heartbeats import Heartbeats


class FewBeats(threading.Event):
    """Ends after some waits, none of which takes time; notes how long each would have been."""

    def __init__(self, num_waits: int) -> None:
        super().__init__()
        self._num_left = num_waits
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        self.seconds.append(timeout or 0.0)
        self._num_left -= 1
        return self._num_left < 0


def test_two_beats_may_be_missed_before_a_lease_ends(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beating every three leases, and so losing each, was noticed by no test."""
    beats = Heartbeats(bench.ledger.store, lease_seconds=LEASE_SECONDS, on_death=lambda: None)
    waits = FewBeats(4)
    monkeypatch.setattr(beats, "_stopping", waits)
    beats.start()
    wait_until(lambda: len(waits.seconds) == 5, what="the thread has beaten four times")
    beats.stop()
    assert waits.seconds[0] == 0.0
    assert all(0 < seconds <= LEASE_SECONDS / 3 for seconds in waits.seconds[1:])


def test_a_thread_that_ends_by_an_error_nobody_foresaw_ends_its_process(bench: Bench) -> None:
    class BrokenStore:
        def heartbeat(self, held: object, *, lease_seconds: float) -> object:
            raise ZeroDivisionError

    deaths: list[str] = []
    beats = Heartbeats(
        BrokenStore(),  # type: ignore[arg-type]
        lease_seconds=LEASE_SECONDS,
        on_death=lambda: deaths.append("heartbeats"),
    )
    threading.excepthook, before = (lambda _: None), threading.excepthook
    try:
        beats.start()
        wait_until(lambda: deaths == ["heartbeats"], what="the process is told")
        beats.stop()
    finally:
        threading.excepthook = before
