"""What a soak found, held against its aims."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from http import HTTPStatus

from tests.soak.memory import Growth
from tests.soak.probe import Try
from tests.soak.singles import Single

MOST_GROWTH = 0.05
MOST_SLOWDOWN = 2.0


@dataclass(frozen=True)
class Latency:
    """Of submits that were answered with 202, in seconds."""

    number: int
    p50: float
    p99: float
    longest: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> Latency:
        """Zeros when there are none."""
        ordered = sorted(seconds)
        if not ordered:
            return cls(0, 0.0, 0.0, 0.0)

        def quantile(share: float) -> float:
            return ordered[math.ceil(share * len(ordered)) - 1]

        return cls(len(ordered), quantile(0.5), quantile(0.99), ordered[-1])

    @classmethod
    def between(cls, tries: Sequence[Try], begin: float, end: float) -> Latency:
        """Of those that began in a stretch of time."""
        return cls.of([t.seconds for t in _accepted(tries) if begin <= t.at < end])

    @classmethod
    def outside(cls, tries: Sequence[Try], begin: float, end: float) -> Latency:
        """Of those that began before or after it."""
        return cls.of([t.seconds for t in _accepted(tries) if not begin <= t.at < end])


def _accepted(tries: Sequence[Try]) -> list[Try]:
    return [one for one in tries if one.status == HTTPStatus.ACCEPTED]


@dataclass(frozen=True)
class Aim:
    """One line of "done when", and what came out."""

    words: str
    figure: str
    is_met: bool


@dataclass(kw_only=True)
class Findings:
    """Everything that the report tells."""

    begun_at: datetime
    minutes: float
    idle_minutes: float
    settling_minutes: float
    answers: Counter[tuple[str, int]]
    num_server_errors: int
    events: Counter[str]
    faults_done: Counter[str]
    idle: Latency
    loaded: Latency
    singles: list[Single]
    fault_times: list[float]  #: by the clock of `singles`
    growths: list[Growth]
    clock_zero: float  #: the load began at this time by the clock of `growths`
    num_accepted: int
    num_jobs_checked: int
    num_documents_checked: int
    wrong: list[str]
    books: dict[str, int]
    log_errors: Counter[str]
    num_cores: int
    mean_load: float
    own_cores: float
    other_cores: float
    notes: list[str] = field(default_factory=list)

    @property
    def slowdown(self) -> float:
        """The 99th percentile of a small submit under load, as a multiple of its idle value."""
        return self.loaded.p99 / self.idle.p99 if self.idle.p99 else math.inf

    @property
    def aims(self) -> list[Aim]:
        """Each with its verdict."""
        worst = max(self.growths, key=lambda growth: growth.share, default=None)
        num_broken = len(self.wrong) + sum(self.books.values())
        return [
            Aim(
                f"memory of API and workers grows by at most {MOST_GROWTH:.0%} "
                f"after the first {self.settling_minutes:.0f} minutes of each process",
                "no process lived long enough" if worst is None else f"{worst.share:+.1%} ({worst.role})",
                worst is not None and {g.role for g in self.growths} >= {"api", "workers"}
                and worst.share <= MOST_GROWTH,
            ),
            Aim("no answer of 500 and above but 503", str(self.num_server_errors), self.num_server_errors == 0),
            Aim(
                f"the 99th percentile of a small submit is at most {MOST_SLOWDOWN:g} times its idle value",
                f"{self.slowdown:.1f} times", self.slowdown <= MOST_SLOWDOWN,
            ),
            Aim(
                "every accepted document is settled exactly once, with the right value",
                f"{self.num_documents_checked:,} checked, {num_broken} wrong", num_broken == 0,
            ),
        ]  # fmt: skip
