"""Waiting for a job to change."""

from __future__ import annotations

import asyncio
import dataclasses
from typing import Any, cast

from api.waiting import ChangeNotifier
from jobs.records import Job
from tests.unit.api.conftest import Api


def test_a_watcher_who_comes_while_the_store_is_asked_is_told_as_well(api: Api) -> None:
    """L9: the second watcher was forgotten until its time was over."""
    job = api.store.get_job(api.submit("a"))
    later = dataclasses.replace(job, version=job.version + 1)
    asked = 0

    class Store:
        def get_job(self, job_id: str, *, owner: str) -> Job:
            nonlocal asked
            asked += 1
            if asked == 1:  # the first look finds no change, and meanwhile somebody comes
                loop.call_soon_threadsafe(join)
                asyncio.run_coroutine_threadsafe(a_turn_of_the_loop(), loop).result()
                return job
            return later

    async def a_turn_of_the_loop() -> None:
        return

    def join() -> None:
        tasks.append(loop.create_task(notifier.wait(job, 20)))

    async def scene() -> list[Job]:
        nonlocal loop
        loop = asyncio.get_running_loop()
        tasks.append(loop.create_task(notifier.wait(job, 20)))
        await tasks[0]
        return [await asyncio.wait_for(task, 5) for task in tasks]

    tasks: list[asyncio.Task[Job]] = []
    loop = cast("asyncio.AbstractEventLoop", None)
    notifier = ChangeNotifier(cast("Any", Store()))
    assert [found.version for found in asyncio.run(scene())] == [later.version] * 2
