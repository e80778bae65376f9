"""Whoever waits for a job hears of its next change; the limits here are far beyond the test's own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from api.waiting import ChangeNotifier
from jobs.errors import JobNotFound
from jobs.records import Job
from tests.unit.api.conftest import Api

_LONG_SECONDS = 3600.0
pytestmark = pytest.mark.timeout(60)


class SlowStore:
    """The real store; a `get_job` stays inside until it is let go."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.asked = threading.Event()
        self.let_go = threading.Event()

    def get_job(self, job_id: str, *, owner: str = "") -> Job:
        job: Job = self._store.get_job(job_id, owner=owner)  # as it was when it was asked for
        self.asked.set()
        assert self.let_go.wait(30)
        return job


async def _is_set(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 30)


def _in_two_waits(api: Api, between: Callable[[SlowStore, str], None]) -> tuple[Job, Job]:
    """One waits; while the store is asked for it another one begins to."""
    job_id = api.submit("good", "good")
    job = api.store.get_job(job_id)
    store = SlowStore(api.store)

    async def scene() -> tuple[Job, Job]:
        notifier = ChangeNotifier(store)  # type: ignore[arg-type]
        first = asyncio.create_task(notifier.wait(job, _LONG_SECONDS))
        await _is_set(store.asked)
        second = asyncio.create_task(notifier.wait(job, _LONG_SECONDS))
        await asyncio.wait({second}, timeout=0)  # it stands in the list now
        between(store, job_id)
        store.let_go.set()
        return await first, await second

    return asyncio.run(scene())


def test_who_comes_while_the_store_is_asked_is_not_forgotten(api: Api) -> None:
    """L9: the second of two watchers was dropped from the list and heard only at its limit."""
    heard = _in_two_waits(api, lambda _, job_id: api.work_off(job_id))
    assert [job.counts.succeeded for job in heard] == [2, 2]


def test_a_job_that_is_deleted_is_told_to_all_who_wait(api: Api) -> None:
    job_id = api.submit("good")
    job = api.store.get_job(job_id)

    async def scene() -> list[Any]:
        notifier = ChangeNotifier(api.store)
        waits = [asyncio.create_task(notifier.wait(job, _LONG_SECONDS)) for _ in range(3)]
        await asyncio.wait(waits, timeout=0)
        api.work_off(job_id)
        api.store.delete(job_id)
        return await asyncio.gather(*waits, return_exceptions=True)

    assert all(isinstance(each, JobNotFound) for each in asyncio.run(scene()))


def test_nobody_is_asked_for_once_all_have_gone(api: Api) -> None:
    """A list that was never pruned was noticed by no test: the store was asked for ever."""
    job = api.store.get_job(api.submit("good"))

    async def scene() -> None:
        notifier = ChangeNotifier(api.store)
        await notifier.wait(job, 0.01)
        (looking,) = [task for task in asyncio.all_tasks() if task.get_name() == "change-notifier"]
        await asyncio.wait_for(looking, 30)

    asyncio.run(scene())
