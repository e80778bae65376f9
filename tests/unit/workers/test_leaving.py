"""What a signal does to a worker: it leaves in order, or at once, and never stays because something hangs."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator

import pytest

from jobs.errors import StoreUnavailable
from tests.support.waiting import PATIENCE_SECONDS
from workers import lifecycle

LONG = PATIENCE_SECONDS
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


class Leaving:
    """A worker process whose ledger answers when it is told to; `os._exit` is noted instead of obeyed."""

    def __init__(self, give_back: Callable[[Leaving], object]) -> None:
        self.worker = self
        self.exits: list[int] = []
        self.has_ended = threading.Event()
        self.answers = threading.Event()
        self.stops = 0
        self._give_back = give_back

    def exit(self, code: int) -> None:
        self.exits.append(code)
        self.has_ended.set()
        raise SystemExit  # a thread's ends quietly

    def release_all(self) -> None:
        self._give_back(self)

    def stop(self) -> None:
        self.stops += 1

    def wait(self) -> None:
        self.answers.wait(LONG)

    def finish(self) -> None:
        """Nothing that would end the process is left behind."""
        self.answers.set()
        for thread in threading.enumerate():
            if isinstance(thread, threading.Timer):
                thread.cancel()
            if isinstance(thread, threading.Timer) or thread.name == "shutdown":
                thread.join(LONG)


Make = Callable[..., Leaving]


@pytest.fixture
def leaving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    all_made: list[Leaving] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)}

    def make(give_back: Callable[[Leaving], object] = lambda _: None) -> Leaving:
        made = Leaving(give_back)
        all_made.append(made)
        monkeypatch.setattr(os, "_exit", made.exit)
        monkeypatch.setattr(lifecycle.logging, "shutdown", lambda: None)
        lifecycle.install_signals(made)  # type: ignore[arg-type]
        return made

    yield make
    for made in all_made:
        made.finish()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_ledger_that_does_not_answer_holds_no_one_who_is_told_to_leave_at_once(
    leaving: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No test noticed when the timer behind it was missing: the process stayed as long as the ledger was silent."""
    monkeypatch.setattr(lifecycle, "_HURRY_SECONDS", 0.01)
    told = leaving(Leaving.wait)
    signal.raise_signal(signal.SIGQUIT)
    assert told.has_ended.wait(LONG / 2)
    assert told.exits == [128 + signal.SIGQUIT]


def test_a_ledger_that_is_away_holds_no_one_either(leaving: Make) -> None:
    def away(_: Leaving) -> None:
        raise StoreUnavailable("away")

    told = leaving(away)
    signal.raise_signal(signal.SIGQUIT)
    assert told.has_ended.wait(LONG)
    assert told.exits == [128 + signal.SIGQUIT]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_lets_the_worker_finish(leaving: Make, number: int) -> None:
    told = leaving()
    signal.raise_signal(number)
    assert told.has_ended.wait(LONG)
    assert (told.exits, told.stops) == ([0], 1)


def test_a_second_signal_gives_back_at_once_and_a_third_waits_for_nothing(
    leaving: Make,
) -> None:
    told = leaving(Leaving.wait)
    told.stop = told.wait  # type: ignore[method-assign]
    signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGTERM)
    assert told.exits == []
    with pytest.raises(SystemExit):
        signal.raise_signal(signal.SIGINT)
    assert told.exits == [128 + signal.SIGINT]
