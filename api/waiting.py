"""Waiting for a job to change: one task per process looks for all who wait.

A waiter costs a future, not a thread, and a hundred waiters of one job cost one query.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict

from starlette.concurrency import run_in_threadpool

from jobs.errors import JobNotFound, TextmillError
from jobs.records import Job
from jobs.store.interface import Store

_log = logging.getLogger(__name__)
_LOOK_SECONDS = 0.25


class ChangeNotifier:
    """Looks at every job that somebody waits for, four times a second."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[tuple[str, str], list[tuple[int, asyncio.Future[Job]]]] = defaultdict(list)
        self._task: asyncio.Task[None] | None = None

    async def wait(self, job: Job, seconds: float) -> Job:
        """The job once its version differs from this one's, or as it is when the time is over."""
        if job.status.is_final:
            return job
        future: asyncio.Future[Job] = asyncio.get_running_loop().create_future()
        self._waiting[(job.id, job.owner)].append((job.version, future))
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look(), name="change-notifier")
        try:
            return await asyncio.wait_for(future, seconds)
        except TimeoutError:
            return await self._get(job.id, job.owner)

    async def _look(self) -> None:
        while self._waiting:
            await asyncio.sleep(_LOOK_SECONDS)
            for key in list(self._waiting):
                await self._look_at(key)

    async def _look_at(self, key: tuple[str, str]) -> None:
        waiters = [(v, f) for v, f in self._waiting[key] if not f.done()]
        if not waiters:
            del self._waiting[key]
            return
        try:
            job = await self._get(*key)
        except JobNotFound as error:
            for _, future in waiters:
                if not future.done():  # its time may have run out while the store was asked
                    future.set_exception(error)
            return
        except TextmillError as error:
            _log.warning("waiting_goes_on: %s", error)
            return
        for version, future in waiters:
            if job.version != version and not future.done():
                future.set_result(job)
        # The list as it is now: somebody may have come while the store was asked.
        self._waiting[key] = [(v, f) for v, f in self._waiting[key] if not f.done()]

    async def _get(self, job_id: str, owner: str) -> Job:
        return await run_in_threadpool(self._store.get_job, job_id, owner=owner)
