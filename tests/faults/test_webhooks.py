"""The API killed again and again while jobs end and events are delivered: none is lost."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import httpx2

from tests.faults.conftest import Profile
from tests.support.hooks import Receiver
from tests.support.lone_api import LoneApi
from tests.support.waiting import wait_until
from textmill.client import verify_webhook


def call(api: LoneApi, path: str, **body: object) -> httpx2.Response:
    answer = httpx2.post(f"{api.url}{path}", json=body, timeout=60, trust_env=False)
    assert answer.is_success, answer.text
    return answer


def end_jobs(api: LoneApi, count: int) -> list[str]:
    jobs = [api.submit() for _ in range(count)]
    for job_id in jobs:
        call(api, f"/v1/jobs/{job_id}/cancel")
    return jobs


def kill_while_it_delivers(folder: Path, receiver: Receiver, count: int) -> list[str]:
    """Ends jobs, and kills the API with the first event that comes; the jobs."""
    before = len(receiver.got)
    with LoneApi(folder, webhook_allow="127.0.0.1") as api:
        jobs = end_jobs(api, count)
        wait_until(lambda: len(receiver.got) > before, what="it is delivering")
        api.kill()
    # What the killed process had taken is due at once, instead of in a minute.
    with closing(sqlite3.connect(folder / "data" / "textmill.db", timeout=30)) as connection:
        connection.execute("UPDATE webhook_delivery SET next_at = 0 WHERE state = 'waiting'")
        connection.commit()
    return jobs


def test_no_event_is_lost_when_the_api_is_killed_while_it_delivers(tmp_path: Path, profile: Profile) -> None:
    jobs: set[str] = set()
    with Receiver() as receiver:
        with LoneApi(tmp_path, webhook_allow="127.0.0.1") as api:
            secret = call(api, "/v1/webhooks", url=receiver.url).json()["secret"]
        for _ in range(profile.pick(1, 5)):
            jobs.update(kill_while_it_delivers(tmp_path, receiver, profile.pick(10, 200)))

        def told() -> set[str]:
            return {
                verify_webhook(each.body, each.headers, secret)["data"]["id"] for each in list(receiver.got)
            }

        with LoneApi(tmp_path, webhook_allow="127.0.0.1"):
            wait_until(lambda: told() >= jobs, timeout_seconds=120, what="all are told")
        events = {each.headers["webhook-id"]: each.event["data"]["id"] for each in receiver.got}
        assert sorted(events.values()) == sorted(jobs), "an event has one id, however often it came"
        profile.note(documents=len(jobs), sent_again=len(receiver.got) - len(events))
