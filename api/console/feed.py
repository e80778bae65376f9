"""What changes while pages are open: one task of a process looks for all of them, once a second.

However many pages are open, the jobs they show are read together, and those that changed alone go out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool

from api.console.throughput import Moment, Throughput
from api.rates import Rates
from api.schemas import JobOut
from jobs.errors import TextmillError
from jobs.records import Job
from jobs.store.ledger_view import LedgerView

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Change:
    """A job as it is now."""

    job: JobOut
    version: int


@dataclass(eq=False)
class Follower:
    """One stream: the jobs that its pages show, in the versions that they have."""

    owner: str | None  #: whose jobs it may see; None: everybody's
    seen: dict[str, int]
    newest: str | None = None
    changes: dict[str, Change] = field(default_factory=dict)
    has_newer: bool = False  #: a job came in that no page shows yet
    moment: Moment | None = None  #: what was computed in the last step, once
    _told_at: float = 0.0
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self, seconds: float) -> bool:
        """Whether there is something to tell before the time is over."""
        try:
            await asyncio.wait_for(self._woken.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def hear_moment(self, moment: Moment | None) -> None:
        """Keeps a step of the throughput that is new to it."""
        if moment is not None and moment.at > self._told_at:
            self._told_at, self.moment = moment.at, moment
            self._woken.set()

    def take_moment(self) -> Moment | None:
        """The step that there is to tell, once."""
        told, self.moment = self.moment, None
        return told

    def take(self) -> tuple[list[Change], bool]:
        """What there is to tell, once: changes, and whether there are newer jobs."""
        told = list(self.changes.values()), self.has_newer
        self.changes, self.has_newer = {}, False
        self._woken.clear()
        return told

    def hear(self, changes: Mapping[str, Change], newest: str | None) -> None:
        """Keeps what is new to it."""
        for job_id, change in changes.items():
            if self.seen.get(job_id, change.version) != change.version:
                self.seen[job_id] = change.version
                self.changes[job_id] = change
        if newest != self.newest:
            self.has_newer = newest is not None and newest > (self.newest or "")
            self.newest = newest
        if self.changes or self.has_newer:
            self._woken.set()

    def may_see(self, job: Job) -> bool:
        """Whether it follows the job, and may."""
        return job.id in self.seen and self.owner in (None, job.owner)


class Feed:
    """The streams of a process."""

    def __init__(self, view: LedgerView, rates: Rates, throughput: Throughput) -> None:
        self._view = view
        self._rates = rates
        self._throughput = throughput
        self._followers: list[Follower] = []
        self._task: asyncio.Task[None] | None = None

    @contextmanager
    def following(self, follower: Follower) -> Iterator[None]:
        """While it lasts, the follower hears of changes."""
        self._followers.append(follower)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look_on(), name="console-feed")
        try:
            yield
        finally:
            self._followers.remove(follower)

    async def _look_on(self) -> None:
        while self._followers:
            try:
                await self.look()
            except TextmillError as error:
                _log.warning("pages_go_on: %s", error)
            await asyncio.sleep(_LOOK_SECONDS)

    async def look(self) -> None:
        """Looks once for all, and tells each what is new to it."""
        followers = list(self._followers)
        ids = sorted({job_id for follower in followers for job_id in follower.seen})
        jobs = await run_in_threadpool(self._view.jobs, ids) if ids else []
        newest = {
            owner: await run_in_threadpool(self._view.newest, owner=owner)
            for owner in {follower.owner for follower in followers}
        }
        changes: dict[str, Change] = {}
        for follower in followers:
            seen = [job for job in jobs if follower.may_see(job) and follower.seen[job.id] != job.version]
            for job in seen:
                changes.setdefault(job.id, Change(self._rates.view(job), job.version))
            follower.hear_moment(self._throughput.latest(owner=follower.owner))
            follower.hear({job.id: changes[job.id] for job in seen}, newest[follower.owner])
