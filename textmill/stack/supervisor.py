"""Keeps a set of programs running: starts, restarts with back-off, stops in reverse order.

Single-threaded: whoever owns it calls `tick()` a few times a second. It knows nothing
of what the programs are.
"""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from textmill.stack.child import Process, Program, spawn
from textmill.stack.logs import keep_short

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_STABLE_SECONDS = 60.0

Say = Callable[[str, str], None]  #: (program's name, message)


@dataclass
class Child:
    """One program and the process it has now."""

    program: Program
    log: Path
    process: Process
    started_at: float
    num_restarts: int = 0  #: in a row, without a stable minute between
    restart_at: float | None = None  #: set while it waits out its back-off
    is_stopping: bool = False
    ended_early: int | None = field(default=None)  #: exit code of an orderly exit nobody asked for

    @property
    def is_running(self) -> bool:
        """Whether the process was alive at the last look."""
        return self.restart_at is None and self.process.poll() is None


class Supervisor:
    """Runs programs until told to stop."""

    def __init__(
        self,
        logs: Path,
        *,
        say: Say,
        clock: Callable[[], float] = time.monotonic,
        start: Callable[[Program, Path], Process] = spawn,
        rest: Callable[[float], None] = time.sleep,
    ) -> None:
        self._logs = logs
        self._say = say
        self._clock = clock
        self._start = start
        self._rest = rest
        self.children: list[Child] = []

    def add(self, program: Program) -> Child:
        """Starts a program and watches it from now on."""
        log = self._logs / f"{program.name}.log"
        process = self._start(program, log)
        child = Child(program=program, log=log, process=process, started_at=self._clock())
        self.children.append(child)
        return child

    def tick(self) -> None:
        """Looks at every child once: notes the dead, restarts those whose pause is over, keeps logs short."""
        now = self._clock()
        for child in self.children:
            keep_short(child.log)
            if child.restart_at is not None:
                if now >= child.restart_at:
                    self._restart(child, now)
            elif (code := child.process.poll()) is not None:
                self._bury(child, code, now)

    def stop(self, tiers: Sequence[Sequence[Child]] | None = None, *, hurry: Callable[[], bool]) -> None:
        """Stops everything, last started first; one after the other unless tiers say otherwise.

        Args:
            tiers: Groups that may stop together, in the order to stop them.
            hurry: Asked all the time; once it is true everything left is killed.
        """
        for tier in tiers if tiers is not None else [[child] for child in reversed(self.children)]:
            for child in tier:
                self._ask_to_stop(child)
            for child in tier:
                self._await_exit(child, hurry)

    def _restart(self, child: Child, now: float) -> None:
        child.process = self._start(child.program, child.log)
        child.started_at = now
        child.restart_at = None
        self._say(child.program.name, f"restarted (pid {child.process.pid})")

    def _bury(self, child: Child, code: int, now: float) -> None:
        child.ended_early = code
        if now - child.started_at >= _STABLE_SECONDS:
            child.num_restarts = 0
        pause_seconds = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2**child.num_restarts)
        child.num_restarts += 1
        child.restart_at = now + pause_seconds
        self._say(
            child.program.name,
            f"{describe_exit(code)}; restarting in {pause_seconds:g} s (log: {child.log})",
        )

    def _ask_to_stop(self, child: Child) -> None:
        child.is_stopping = True
        if child.restart_at is not None or child.process.poll() is not None:
            return
        if child.program.ask_to_stop is None:
            child.process.send_signal(signal.SIGTERM)
            return
        with contextlib.suppress(Exception):  # the kill after the grace period is the answer to any failure
            child.program.ask_to_stop()

    def _await_exit(self, child: Child, hurry: Callable[[], bool]) -> None:
        deadline = self._clock() + child.program.grace_seconds
        while child.process.poll() is None:
            if hurry() or self._clock() > deadline:
                if not hurry():
                    self._say(
                        child.program.name, f"did not stop in {child.program.grace_seconds:g} s: killed"
                    )
                child.process.send_signal(signal.SIGKILL)
                deadline = float("inf")
            self._rest(0.05)


def describe_exit(code: int) -> str:
    """What an exit code of `Popen` means, in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"


def tail(log: Path, *, lines: int = 15) -> str:
    """The end of a log, for error messages."""
    try:
        with log.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - 16_384))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-lines:])
