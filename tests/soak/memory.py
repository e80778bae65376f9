"""Resident memory of the stack's processes over time, through /proc (Linux)."""

from __future__ import annotations

import os
import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.processes import children_of

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
#: How a role is told from a command line: by a word of it.
_ROLES = ("api", "workers")
#: Shares of a life that are compared, at its beginning and its end.
_SHARE = 0.25


@dataclass
class Life:
    """One process from its first sample to its last."""

    role: str
    samples: list[tuple[float, int]] = field(default_factory=list)  #: (seconds by the clock, bytes)

    def settled(self, settling_seconds: float) -> Growth | None:
        """How its memory went after it had settled; None when it did not live long enough to say."""
        begin = self.samples[0][0] + settling_seconds
        sizes = [size for at, size in self.samples if at >= begin]
        num_compared = int(len(sizes) * _SHARE)
        if num_compared < 3 or self.samples[-1][0] - begin < settling_seconds / 2:
            return None
        return Growth(
            role=self.role, begin=begin, end=self.samples[-1][0],
            first_bytes=int(statistics.median(sizes[:num_compared])),
            last_bytes=int(statistics.median(sizes[-num_compared:])), highest_bytes=max(sizes),
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Growth:
    """Medians over the first and the last quarter of a settled life."""

    role: str
    begin: float
    end: float
    first_bytes: int
    last_bytes: int
    highest_bytes: int

    @property
    def share(self) -> float:
        """What it grew by, as a share of what it was."""
        return self.last_bytes / self.first_bytes - 1


class MemoryLog:
    """Samples of every process of interest below a `textmill up`."""

    def __init__(self, stack_pid: int) -> None:
        self._stack_pid = stack_pid
        self._lives: dict[int, Life] = {}

    def sample(self, now: float) -> None:
        """One sample of each."""
        for role, pids in processes_by_role(self._stack_pid).items():
            for pid in pids:
                if size := _resident_bytes(pid):
                    self._lives.setdefault(pid, Life(role)).samples.append((now, size))

    def growths(self, settling_seconds: float) -> list[Growth]:
        """Of every life that was long enough."""
        found = (life.settled(settling_seconds) for life in self._lives.values())
        return [growth for growth in found if growth is not None]

    @property
    def num_lives(self) -> dict[str, int]:
        """Processes seen, by role."""
        counts: dict[str, int] = defaultdict(int)
        for life in self._lives.values():
            counts[life.role] += 1
        return dict(counts)


def processes_by_role(stack_pid: int) -> dict[str, list[int]]:
    """Process ids of API, workers and broker, oldest first."""
    found: dict[str, list[int]] = {role: [] for role in ("broker", *_ROLES)}
    for pid, command in sorted(children_of(stack_pid).items()):
        words = command.split()
        role = next(
            (role for role in _ROLES if role in words), "broker" if "broker.sock" in command else None
        )
        if role is not None:
            found[role].append(pid)
    return found


def _resident_bytes(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError):  # gone meanwhile
        return 0
