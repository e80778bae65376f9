"""Equal requests that come at the same moment: one job, and everybody hears of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
from sqlalchemy import func, select

from jobs.errors import IdempotencyKeyReused
from jobs.records import Job, NewJob
from jobs.store import tables as t
from tests.support.ledger import Ledger, documents
from tests.support.waiting import PATIENCE_SECONDS

T = TypeVar("T")
NUM_CLIENTS = 6


def at_once(*calls: Callable[[], T]) -> list[T | Exception]:
    """What each of them returns or raises, begun together."""
    together = threading.Barrier(len(calls))

    def begin(call: Callable[[], T]) -> T | Exception:
        together.wait(PATIENCE_SECONDS)
        try:
            return call()
        except Exception as error:  # looked at by the caller
            return error

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(begin, calls))


def num_rows(ledger: Ledger, key: str) -> tuple[int, int]:
    """Jobs of an idempotency key, and documents of all jobs whether they are seen or not."""
    jobs = select(func.count()).where(t.job.c.idempotency_key == key)
    rows = select(func.count()).select_from(t.document)
    return ledger.store.database.read(lambda c: (c.execute(jobs).scalar_one(), c.execute(rows).scalar_one()))


@pytest.mark.parametrize("count", [3, 2500], ids=["one block", "three blocks"])
def test_equal_submits_at_the_same_moment_make_one_job_and_all_hear_of_it(
    ledger: Ledger, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Those that come too late leave to the sweep what they cannot remove soon; here they have the time.
    monkeypatch.setattr("jobs.store.removal._SOON_SECONDS", PATIENCE_SECONDS)
    num_before = 0
    for number in range(4):
        new = NewJob(idempotency_key=f"key-{number}", request_sha256="a")
        found = at_once(*[lambda: ledger.store.submit(new, documents(count))] * NUM_CLIENTS)  # noqa: B023
        answers = [answer for answer in found if isinstance(answer, tuple)]
        assert len(answers) == NUM_CLIENTS, found
        assert sum(is_new for _, is_new in answers) == 1
        assert len({job.id for job, _ in answers}) == 1
        assert {job.counts.total for job, _ in answers} == {count}
        num_jobs, num_before = 1, num_before + count
        assert num_rows(ledger, f"key-{number}") == (num_jobs, num_before), "nothing is left of the others"


def test_of_different_submits_with_one_key_one_wins_and_the_others_are_told(ledger: Ledger) -> None:
    jobs = [NewJob(idempotency_key="k", request_sha256=str(n)) for n in range(NUM_CLIENTS)]
    found = at_once(*[lambda new=new: ledger.store.submit(new, documents(3)) for new in jobs])
    assert sum(isinstance(answer, tuple) for answer in found) == 1
    assert sum(isinstance(answer, IdempotencyKeyReused) for answer in found) == NUM_CLIENTS - 1
    assert num_rows(ledger, "k") == (1, 3)


def test_the_same_key_of_two_owners_is_two_keys(ledger: Ledger) -> None:
    def submit(owner: str) -> Job:
        return ledger.store.submit(
            NewJob(owner=owner, idempotency_key="k", request_sha256="a"), documents(2)
        )[0]

    jobs = [job for job in at_once(lambda: submit("a"), lambda: submit("b")) if isinstance(job, Job)]
    assert sorted(job.owner for job in jobs) == ["a", "b"]
