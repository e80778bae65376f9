"""One supervised process: how it is started, watched, told to stop, and never orphaned."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from textmill.stack.environment import Needs, environment_for

_PR_SET_PDEATHSIG = 1
_SOURCE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, kw_only=True)
class Program:
    """What to run, and how it likes to be stopped."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)  #: laid over what it gets of ours
    needs: Needs = Needs.NOTHING  #: what it gets of ours beside the ordinary
    passed: tuple[str, ...] = ()  #: names of further variables that it gets
    folder: Path | None = None
    grace_seconds: float = 10.0  #: between the request to stop and the kill
    #: what the kernel sends it when `textmill up` itself is killed (Linux)
    orphan_signal: signal.Signals = signal.SIGKILL
    #: asks it to stop in its own way; None: SIGTERM
    ask_to_stop: Callable[[], None] | None = None


class Process(Protocol):
    """The part of `subprocess.Popen` that supervision needs."""

    pid: int

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        ...

    def send_signal(self, sig: int, /) -> None:
        """Sends a signal; nothing happens when the process is gone."""
        ...


def spawn(program: Program, log: Path) -> Process:
    """Starts the program with its output appended to `log`.

    It leads its own session, so Ctrl-C in our terminal reaches it only through us.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            program.command,
            env=_with_code(environment_for(program.needs, program.environment, also=program.passed)),
            cwd=program.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=tie_to_parent(program.orphan_signal),  # noqa: PLW1509 -- we fork from a single thread
        )


def python(module: str, *arguments: str) -> tuple[str, ...]:
    """The command that runs one of our modules.

    `-P` keeps the working folder off the path: a user's own `api/` there must not win.
    """
    return (sys.executable, "-P", "-m", module, *arguments)


def child_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """Our own environment, passed on as it is, with `extra` over it: for another process of the same user."""
    return _with_code({**os.environ, **extra})


def _with_code(environment: dict[str, str]) -> dict[str, str]:
    environment = {"PYTHONUNBUFFERED": "1", **environment}
    if Path(sysconfig.get_path("purelib")) != _SOURCE:  # run from source: children find the same code
        inherited = environment.get("PYTHONPATH")
        environment["PYTHONPATH"] = f"{_SOURCE}{os.pathsep}{inherited}" if inherited else str(_SOURCE)
    return environment


def tie_to_parent(orphan_signal: signal.Signals) -> Callable[[], None] | None:
    """A hook that has the kernel signal the child when we die, however we die."""
    if not sys.platform.startswith("linux"):
        return None  # macOS has no such call: there a broker left behind is taken over at the next start
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def tie() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(orphan_signal))
        if os.getppid() != parent:  # we died between fork and prctl: the signal will never come
            os._exit(1)

    return tie
