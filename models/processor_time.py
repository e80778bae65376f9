"""How long the loop's thread has computed, and the threads it waits for meanwhile.

torch computes on the thread that calls it. CTranslate2 has threads of its own, and its
caller sleeps until they are done: seen by itself, it hangs.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TASKS = Path("/proc/self/task")  # Linux: a folder for each thread of this process
_helpers: set[int] = set()  # by the system's number


def loop_cpu_seconds(thread: threading.Thread) -> float | None:
    """Processor time of the loop's thread and its helpers; None where it cannot be known."""
    own = thread_cpu_seconds(thread)
    return None if own is None else own + sum(_helper_cpu_seconds(number) for number in [*_helpers])


def thread_cpu_seconds(thread: threading.Thread) -> float | None:
    """Processor time the thread has used; None where the system does not tell, or once it has ended."""
    if thread.ident is None or not thread.is_alive() or not hasattr(time, "pthread_getcpuclockid"):
        return None
    try:
        return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))
    except OSError:  # it ended just now
        return None


@contextmanager
def noting_helpers() -> Iterator[None]:
    """Threads that a library starts meanwhile compute for the loop, as long as they live."""
    before = _threads()
    yield
    pythons = {thread.native_id for thread in threading.enumerate()}
    _helpers.update(_threads() - before - pythons)


def _threads() -> set[int]:
    return {int(path.name) for path in _TASKS.iterdir()} if _TASKS.is_dir() else set()


def _helper_cpu_seconds(number: int) -> float:
    try:
        # The name, in parentheses, may hold anything; user and system time come 12th and 13th behind it.
        numbers = (_TASKS / str(number) / "stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended
        _helpers.discard(number)
        return 0.0
    return (int(numbers[11]) + int(numbers[12])) / os.sysconf("SC_CLK_TCK")
