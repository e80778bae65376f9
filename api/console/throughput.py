"""Documents and tokens a second over the last hour, as this process saw jobs go on."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.concurrency import run_in_threadpool

from jobs.errors import TextmillError
from jobs.listing import Progress

_log = logging.getLogger(__name__)
STEP_SECONDS = 10.0
_CLOCKS_DIFFER_SECONDS = 5.0  # ours and the database's; a job that is seen twice counts once
_KEPT = 360  # steps: an hour
Amounts = dict[str, tuple[int, int]]  #: of each owner: documents and tokens


@dataclass(frozen=True)
class Moment:
    """What was computed in one step, by the second."""

    at: float  #: the end of the step, in seconds since 1970
    documents: float
    tokens: float


class Throughput:
    """Looks at what jobs have computed, step by step; every process of the API by itself."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[str, tuple[int, int]] = {}
        self._steps: deque[tuple[float, float, Amounts]] = deque(maxlen=_KEPT)
        self._looked_at: float | None = None

    @property
    def since(self) -> float:
        """When it looked last; jobs that ended since then are still of interest."""
        return self._looked_at or self._clock()

    def see(self, jobs: Iterable[Progress]) -> None:
        """A look at all jobs that run, or ended since the last look."""
        now = self._clock()
        seen: dict[str, tuple[int, int]] = {}
        done: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        is_first = self._looked_at is None
        for job in jobs:
            seen[job.job_id] = (job.documents, job.tokens)
            # Before the first look nothing is known: what was done by then was done some time.
            before = self._seen.get(job.job_id, seen[job.job_id] if is_first else (0, 0))
            done[job.owner][0] += max(0, job.documents - before[0])  # a retry takes failures back
            done[job.owner][1] += max(0, job.tokens - before[1])
        with self._lock:
            if self._looked_at is not None and now > self._looked_at:
                amounts = {owner: (each[0], each[1]) for owner, each in done.items()}
                self._steps.append((now, now - self._looked_at, amounts))
            self._seen, self._looked_at = seen, now

    def moments(self, *, owner: str | None) -> list[Moment]:
        """Of an owner, or of everybody; oldest first."""
        with self._lock:
            steps = list(self._steps)
        return [_moment(at, seconds, amounts, owner) for at, seconds, amounts in steps]

    def latest(self, *, owner: str | None) -> Moment | None:
        """The last of them."""
        with self._lock:
            last = self._steps[-1] if self._steps else None
        return None if last is None else _moment(*last, owner)


async def watch(throughput: Throughput, read: Callable[[datetime], Iterable[Progress]]) -> None:
    """Looks every `STEP_SECONDS`, until it is cancelled; a database that is away is asked again later.

    Args:
        throughput: What sees it.
        read: How far jobs are that run or ended since then.
    """
    while True:
        try:
            since = datetime.fromtimestamp(throughput.since - _CLOCKS_DIFFER_SECONDS, UTC)
            throughput.see(await run_in_threadpool(read, since))
        except TextmillError as error:
            _log.warning("throughput_goes_on: %s", error)
        await asyncio.sleep(STEP_SECONDS)


def _moment(at: float, seconds: float, amounts: Amounts, owner: str | None) -> Moment:
    chosen = amounts.values() if owner is None else [amounts.get(owner, (0, 0))]
    documents, tokens = sum(each[0] for each in chosen), sum(each[1] for each in chosen)
    return Moment(round(at, 1), round(documents / seconds, 2), round(tokens / seconds, 1))
