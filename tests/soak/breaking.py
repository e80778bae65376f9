"""What is killed and frozen while a soak runs, and when."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass

from tests.soak.memory import processes_by_role

_FREEZE_SECONDS = 8.0


@dataclass(frozen=True)
class Fault:
    """One of them."""

    at_share: float  #: of the time under load
    kind: str


def planned(dice: random.Random, minutes: float) -> list[Fault]:
    """The faults of a run in order.

    Redis and one worker die all along. The API and the other worker die near the ends only, so that the
    memory of each can be watched for most of the time.
    """
    every = {"kill a worker": 4.0, "kill Redis": 6.0, "freeze Redis": 10.0}
    faults = [Fault(share, "kill the API") for share in (0.04, 0.08, 0.95, 0.98)]
    faults += [Fault(share, "kill both workers") for share in (0.06, 0.96)]
    for kind, period_minutes in every.items():
        number = max(1, round(minutes / period_minutes))
        faults += [Fault((i + dice.uniform(0.2, 0.8)) / number, kind) for i in range(number)]
    return sorted(faults, key=lambda fault: fault.at_share)


class Breaker:
    """Does what is planned, in a thread of its own."""

    def __init__(
        self, stack_pid: int, faults: list[Fault], *, seconds: float, closing: threading.Event
    ) -> None:
        self._stack_pid = stack_pid
        self._faults = faults
        self._seconds = seconds
        self._closing = closing
        self.done: Counter[str] = Counter()
        self.times: list[float] = []  #: of each, by `time.monotonic`

    def run(self) -> None:
        """Until all is done or the run is over."""
        begun = time.monotonic()
        for fault in self._faults:
            wait_seconds = begun + fault.at_share * self._seconds - time.monotonic()
            if self._closing.wait(max(0.0, wait_seconds)):
                return
            self.times.append(time.monotonic())
            self._break(fault.kind)
            self.done[fault.kind] += 1

    def _break(self, kind: str) -> None:
        roles = processes_by_role(self._stack_pid)
        if kind == "freeze Redis":
            self._freeze(roles["broker"])
            return
        victims = {
            "kill the API": roles["api"], "kill Redis": roles["broker"],
            "kill a worker": roles["workers"][-1:], "kill both workers": roles["workers"],
        }[kind]  # fmt: skip
        for pid in victims:
            _signal(pid, signal.SIGKILL)

    def _freeze(self, pids: list[int]) -> None:
        for pid in pids:
            _signal(pid, signal.SIGSTOP)
        self._closing.wait(_FREEZE_SECONDS)
        for pid in pids:
            _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has just died by itself, and is started again
        os.kill(pid, number)
