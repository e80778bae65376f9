"""L4: while a very large submit goes in on SQLite, everybody else is answered as ever."""

from __future__ import annotations

import logging
import multiprocessing
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from jobs.records import LeaseState, NewDocument, NewJob, Task
from jobs.store.database import Database
from jobs.store.sql import SqlStore
from tests.support.ledger import Ledger
from tests.support.new_ledger import new_ledger

T = TypeVar("T")
_log = logging.getLogger(__name__)
LEASE_SECONDS = 30.0


def submit_many(url: str, count: int) -> None:
    """In a process of its own, as an API beside workers."""
    rows = (
        NewDocument(seq=n, custom_id=str(n), task=Task.SENTIMENT, model="m", text=f"text of row {n} " * 4)
        for n in range(count)
    )
    store = SqlStore(Database(url), slice_tokens=8192, slice_documents=512)
    store.submit(NewJob(owner="large"), rows)
    store.close()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    database = Database(new_ledger(tmp_path / "ledger.db"))
    store = SqlStore(database, slice_tokens=10_000, slice_documents=4)
    yield Ledger(store)
    store.close()


@pytest.mark.parametrize(
    ("count", "most_seconds"),
    # What 99 of 100 wait for at the most: at length as promised (issue 18), else beside whatever runs here.
    [(10_000, 10.0), pytest.param(1_000_000, 1.0, marks=pytest.mark.slow)],
    ids=["10000", "1000000"],
)
@pytest.mark.timeout(1800)
def test_small_submits_and_settlements_do_not_wait_for_a_large_submit(
    ledger: Ledger, count: int, most_seconds: float
) -> None:
    """L4: two million rows in one transaction kept every other writer out for 65 s."""
    submits, settlements, heartbeats = Waits(), Waits(), Waits()
    held = ledger.claimed(ledger.keys(ledger.submit(4))[0], lease_seconds=LEASE_SECONDS)
    job = ledger.submit(20_000)
    url = str(ledger.store._database.engine.url)
    large = multiprocessing.get_context("spawn").Process(target=submit_many, args=(url, count))
    large.start()
    begun, num_settled = time.monotonic(), 0
    while large.is_alive():
        submits.take(lambda: ledger.submit(3))
        states = heartbeats.take(
            lambda: ledger.store.heartbeat({held.key: held.attempt}, lease_seconds=LEASE_SECONDS)
        )
        assert states[held.key] is LeaseState.HELD
        for ticket in ledger.store.take_window(job_id=job.id, window=2, resend_after_seconds=0.0):
            lease = ledger.claimed(ticket.key)
            settled = settlements.take(lambda lease=lease: ledger.finish(lease))  # type: ignore[misc]
            num_settled += settled.accepted
            assert settled.accepted == len(lease.documents)
        assert ledger.store.sweep(max_crashes=3).released == 0
    assert large.exitcode == 0
    ((stored,), _) = ledger.store.list_jobs(owner="large")
    assert stored.counts.total == count
    assert ledger.store.get_job(job.id).counts.succeeded == num_settled > 0
    took_seconds = time.monotonic() - begun
    _log.info("%s rows in %.0f s; waits of submits %s, of settlements %s, of heartbeats %s",
              count, took_seconds, submits, settlements, heartbeats)  # fmt: skip
    for waits in (submits, settlements, heartbeats):
        assert waits.p99_seconds < most_seconds


class Waits:
    """How long each of many calls took."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def take(self, call: Callable[[], T]) -> T:
        begun = time.monotonic()
        answer = call()
        self.seconds.append(time.monotonic() - begun)
        return answer

    @property
    def p99_seconds(self) -> float:
        return sorted(self.seconds)[int(0.99 * len(self.seconds))]

    def __str__(self) -> str:
        return f"{self.p99_seconds:.3f} (99 %) {max(self.seconds):.3f} (all {len(self.seconds)})"
