"""One soak, from the start of the stack to its findings."""

from __future__ import annotations

import random
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from tests.soak.breaking import Breaker, planned
from tests.soak.clients import CLIENTS, keep_going
from tests.soak.desk import Desk, Orders
from tests.soak.findings import Findings, Latency
from tests.soak.machine import Machine
from tests.soak.memory import MemoryLog
from tests.soak.orders import LABELS, ROWS, STORIES, Order
from tests.soak.probe import Try, read_tries
from tests.soak.reference import read_reference
from tests.soak.tally import Recording, Tally
from tests.support.audit import books
from tests.support.waiting import wait_until
from textmill.client import Textmill
from textmill.stack.background import BackgroundStack

_ROOT = Path(__file__).parents[2]
_CATALOGUE = f"""
[[models]]
name = "{ROWS}"
task = "sentiment"
ref = "noop:rows"
[[models]]
name = "{LABELS}"
task = "sentiment"
ref = "bundled:sentiment"
[[models]]
name = "{STORIES}"
task = "generation"
ref = "bundled:generation"
[[models]]
name = "no-translation"
task = "translation"
ref = "noop:t"
[[models]]
name = "no-answers"
task = "qa"
ref = "noop:q"
"""
_NUM_WORKERS = 2
_START_SECONDS = 600.0
_SAMPLE_SECONDS = 5.0
_JOIN_SECONDS = 700.0  # above the patience of a client that waits for a job
_SETTLING_MINUTES = 10.0
#: Of lines that a log may hold: time, level, logger, message.
_ERROR = re.compile(r" (ERROR|CRITICAL) (\S+ \S+)|^(Traceback|\w+Error:)", re.MULTILINE)


class Soak:
    """What a run needs while it lasts."""

    def __init__(self, folder: Path, *, minutes: float, seed: int) -> None:
        self._folder = folder
        self._seconds = 60 * minutes
        #: in all; long enough for a 99th percentile that is not the slowest of all
        self._idle_seconds = min(240.0, max(60.0, self._seconds / 15))
        self._settling_seconds = min(60 * _SETTLING_MINUTES, self._seconds / 4)
        self._dice = random.Random(seed)
        self._tally = Tally()
        self._closing = threading.Event()

    def run(self) -> Findings:
        """To the end."""
        begun_at, machine = datetime.now(UTC), Machine()
        orders = Orders(read_reference())
        with self._stack() as stack:
            memory = MemoryLog(stack.pid)
            with self._probe(stack.url):
                self._watch_idle(machine)
                loaded_from = time.monotonic()
                breaker = self._load(stack, orders, memory, machine)
                loaded_until = time.monotonic()
                self._watch_idle(machine)
            tries = read_tries(self._tries)
            self._check_rest(stack.url, orders, tries)
        own_cores, other_cores = machine.shares()
        return Findings(
            begun_at=begun_at, minutes=self._seconds / 60, idle_minutes=self._idle_seconds / 60,
            settling_minutes=self._settling_seconds / 60,
            answers=self._tally.answers, num_server_errors=self._tally.num_server_errors,
            events=self._tally.events, faults_done=breaker.done,
            idle=Latency.outside(tries, loaded_from, loaded_until),
            loaded=Latency.between(tries, loaded_from, loaded_until),
            singles=orders.singles, fault_times=breaker.times,
            growths=memory.growths(self._settling_seconds), clock_zero=loaded_from,
            num_accepted=orders.num_accepted, num_jobs_checked=orders.num_jobs_checked,
            num_documents_checked=orders.num_documents_checked, wrong=orders.faults,
            books=books(f"sqlite:///{self._folder / 'data' / 'textmill.db'}"),
            log_errors=_errors_in(self._folder / "data" / "logs"),
            num_cores=machine.num_cores, mean_load=machine.mean_load,
            own_cores=own_cores, other_cores=other_cores,
        )  # fmt: skip

    @property
    def _tries(self) -> Path:
        return self._folder / "tries.jsonl"

    @contextmanager
    def _stack(self) -> Iterator[BackgroundStack]:
        catalogue = self._folder / "models.toml"
        catalogue.write_text(_CATALOGUE)
        environment = {
            "TEXTMILL_CONFIG": str(catalogue),
            "HF_HUB_OFFLINE": "1",
            # Documents die with their workers for no fault of their own here, some of them often.
            "TEXTMILL_MAX_CRASHES": "9",
        }
        flags = ("--device", "cpu", "--workers", str(_NUM_WORKERS), "--dtype", "float32", "--no-flower")
        with (self._folder / "up.log").open("wb") as log:
            stack = BackgroundStack(self._folder / "data", flags=flags, environment=environment, output=log)
            with stack, Textmill(stack.url) as server:
                wait_until(
                    lambda: all(len(model["workers"]) == _NUM_WORKERS for model in server.models()),
                    timeout_seconds=_START_SECONDS, what="all workers serve", poll_seconds=0.5,
                )  # fmt: skip
                yield stack

    @contextmanager
    def _probe(self, url: str) -> Iterator[None]:
        command = [sys.executable, "-m", "tests.soak.probe", url, str(self._tries)]
        process = subprocess.Popen(command, cwd=_ROOT)
        try:
            yield
        finally:
            process.terminate()
            process.wait()

    def _watch_idle(self, machine: Machine) -> None:
        """Without clients: half of it before the load and half after, for others' work on the machine changes."""
        for _now in _ticks(self._idle_seconds / 2):
            machine.sample()

    def _watch(self, memory: MemoryLog, machine: Machine) -> None:
        for now in _ticks(self._seconds):
            memory.sample(now)
            machine.sample()

    def _load(self, stack: BackgroundStack, orders: Orders, memory: MemoryLog, machine: Machine) -> Breaker:
        breaker = Breaker(
            stack.pid, planned(self._dice, self._seconds / 60), seconds=self._seconds, closing=self._closing
        )
        threads = [threading.Thread(target=breaker.run, name="breaker")]
        for client in CLIENTS:
            for _ in range(client.number):
                seed = self._dice.getrandbits(32)
                desk = Desk(stack.url, self._tally, orders, seed=seed, closing=self._closing)
                threads.append(threading.Thread(target=keep_going, args=(client, desk), daemon=True))
        for thread in threads:
            thread.start()
        self._watch(memory, machine)
        self._closing.set()
        deadline = time.monotonic() + _JOIN_SECONDS
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if alive := [thread.name for thread in threads if thread.is_alive()]:
            orders.faults.append(f"clients still waited {_JOIN_SECONDS:.0f} s after the end: {alive}")
        return breaker

    def _check_rest(self, url: str, orders: Orders, tries: list[Try]) -> None:
        """Also of what the probe sent: its answers are counted here, its jobs checked like all others."""
        for one in tries:
            self._tally.answer("POST /v1/jobs (the small submit)", one.status)
            if one.job_id is not None:
                orders.accept(one.job_id, Order(model=LABELS, first=0, count=1, name=one.order))
        with Textmill(url, transport=Recording(self._tally)) as server:
            orders.check_rest(server)


def _ticks(seconds: float) -> Iterator[float]:
    """The time of each sample of a stretch."""
    until, never = time.monotonic() + seconds, threading.Event()
    while (now := time.monotonic()) < until:
        yield now
        never.wait(min(_SAMPLE_SECONDS, until - now))


def _errors_in(logs: Path) -> Counter[str]:
    found: Counter[str] = Counter()
    for log in logs.glob("*.log"):
        for match in _ERROR.finditer(log.read_text(errors="replace")):
            found[f"{log.stem}: {match.group(0).strip()}"] += 1
    return found
