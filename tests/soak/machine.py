"""How busy the machine was, and how much of that was not us: what figures of time must be read beside."""

from __future__ import annotations

import os
import resource
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Machine:
    """Watched from when this is made."""

    loads: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._begun = time.monotonic()
        self._busy_before = _busy_seconds()
        self._own_before = _own_seconds()

    def sample(self) -> None:
        """The load of the last minute."""
        self.loads.append(os.getloadavg()[0])

    @property
    def num_cores(self) -> int:
        """That this process may use."""
        return len(os.sched_getaffinity(0))

    @property
    def mean_load(self) -> float:
        """Processes that ran or wanted to, on average."""
        return statistics.mean(self.loads) if self.loads else 0.0

    def shares(self) -> tuple[float, float]:
        """Cores that were busy with us, and with others, on average; ask when our children have ended."""
        seconds = time.monotonic() - self._begun
        own = _own_seconds() - self._own_before
        busy = _busy_seconds() - self._busy_before
        return own / seconds, max(0.0, busy - own) / seconds


def _busy_seconds() -> float:
    """Of all cores together, since the machine started: user, nice, system, interrupts, stolen."""
    fields = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, _idle, _wait, interrupts, soft_interrupts, stolen = fields
    return (user + nice + system + interrupts + soft_interrupts + stolen) / _TICKS


def _own_seconds() -> float:
    """Of this process and of its children that have ended, and of theirs."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
