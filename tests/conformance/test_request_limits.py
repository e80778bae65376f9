"""Calls in a minute, counted by several processes in a real Redis."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.request_limits import open_request_limits
from jobs.keys import Caller
from jobs.settings import Settings
from tests.support.waiting import wait_until
from textmill.stack.broker import EmbeddedBroker
from textmill.stack.child import Process, spawn
from textmill.stack.server_binary import find_server

LIMITS = {"requests_per_minute": 3, "key_requests_per_minute": 100}
CALLER = Caller(project="reviews", key_id="key_1")


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[tuple[EmbeddedBroker, Process]]:
    broker = EmbeddedBroker(tmp_path, find_server())
    broker.prepare()
    process = spawn(broker.program(), tmp_path / "broker.log")
    wait_until(broker.answers, what="the broker answers")
    yield broker, process
    if process.poll() is None:
        process.send_signal(signal.SIGKILL)
        wait_until(lambda: process.poll() is not None, what="the broker ended")


def test_processes_count_together_and_each_by_itself_when_redis_dies(
    broker: tuple[EmbeddedBroker, Process], tmp_path: Path
) -> None:
    running, process = broker
    settings = Settings.load(data=tmp_path, redis_url=running.address.celery_url)
    here, there = open_request_limits(settings), open_request_limits(settings)
    kept = [counter.count(CALLER, LIMITS)[0].is_kept for counter in (here, there, here, there)]
    assert kept == [True, True, True, False]
    stranger = Caller(project="others", key_id="key_2")
    window = here.count(stranger, LIMITS)[0]
    assert (window.remaining, window.limit) == (2, 3)
    process.send_signal(signal.SIGKILL)
    wait_until(lambda: process.poll() is not None, what="the broker ended")
    kept = [here.count(CALLER, LIMITS)[0].is_kept for _ in range(4)]
    assert kept == [True, True, True, False]
