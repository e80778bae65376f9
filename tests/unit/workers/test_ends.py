"""L22: a device loop that dies: its waiters are told, give back what is to be given back, and only then the end."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from jobs.errors import StoreUnavailable
from jobs.records import SliceKey
from jobs.settings import Settings
from models.errors import LoopDied
from models.records import DocumentOutput
from tests.support.engines import GatedEngine
from tests.support.ledger import crash, crash_on
from tests.support.waiting import PATIENCE_SECONDS, wait_until
from tests.support.watching import nobody_is_told
from tests.unit.workers.conftest import LEASE_SECONDS, Bench
from workers.ending import OrderlyEnd
from workers.heartbeats import Heartbeats
from workers.worker import Worker


class DiesAtTheGate(GatedEngine):
    """Ends the loop by an error that no engine catches, when the test says so."""

    def step(self) -> list[DocumentOutput]:
        super().step()
        raise SystemError("the device is gone")


class NoDispatcher:
    def release(self) -> int:
        return 0


def leased(bench: Bench) -> list[Any]:
    def select(connection):  # type: ignore[no-untyped-def]
        statement = "SELECT crash_count, isolate FROM slice WHERE state = 'leased'"
        return connection.exec_driver_sql(statement).all()

    return list(bench.ledger.store._database.read(select))


def test_all_slices_of_a_loop_that_dies_are_given_back_before_the_process_ends(bench: Bench) -> None:
    """L22: eight slices became crashes, because the process ended in the moment their waiters were told."""
    bench.engine = engine = DiesAtTheGate()
    bench.start()
    heartbeats = Heartbeats(bench.ledger.store, lease_seconds=LEASE_SECONDS, on_death=lambda: None)
    left_at_the_end: list[list[Any]] = []
    has_ended = threading.Event()

    def die() -> None:
        left_at_the_end.append(leased(bench))
        has_ended.set()

    worker = Worker(
        "w1", store=bench.ledger.store, dispatcher=NoDispatcher(), loop=bench.loop, heartbeats=heartbeats,  # type: ignore[arg-type]
        settings=Settings(), teller=nobody_is_told(), on_death=lambda: end.begin(),
    )  # fmt: skip
    end = OrderlyEnd(worker, die=die)
    bench.loop._on_death = lambda error: end.begin()
    keys = bench.ledger.keys(bench.ledger.submit(40))[:4]
    threads = [threading.Thread(target=worker.run_slice, args=(key,)) for key in keys]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(leased(bench)) == 4 and engine.entered.is_set(), what="all run")
    engine.gate.set()
    assert has_ended.wait(PATIENCE_SECONDS)
    assert left_at_the_end == [[]]  # once, and nothing is leased any more
    for key in keys:
        assert not bench.ledger.claimed(key).isolation


@pytest.mark.parametrize(
    ("model_that_hangs", "attempt", "is_given_back"),
    [("m", 1, False), ("another", 1, True), (None, 1, True), (None, 3, False)],
)
def test_only_a_slice_that_may_have_killed_the_loop_counts_it_as_a_crash(
    bench: Bench, model_that_hangs: str | None, attempt: int, is_given_back: bool
) -> None:
    bench.start()
    job = bench.ledger.submit(2)
    for _ in range(attempt - 1):
        lease = bench.ledger.claimed(bench.ledger.keys(job)[0])
        bench.ledger.store.release(lease.key, lease.attempt)
    run = bench.run_of(job)
    bench.loop._waiters.end(LoopDied("a step hangs", model=model_that_hangs))
    run.run()
    assert bench.deaths == ["asked to die"]
    assert bool(leased(bench)) != is_given_back


def test_a_document_that_ran_alone_when_the_loop_died_is_to_blame(bench: Bench) -> None:
    bench.engine = engine = DiesAtTheGate()
    engine.gate.set()
    bench.start()
    job = bench.ledger.submit(2)
    (key,) = bench.ledger.keys(job)
    bench.ledger.claimed(key)
    crash(bench.ledger)
    crash_on(bench.ledger, key)
    bench.run_of(job).run()
    assert len(leased(bench)) == 1
    crash(bench.ledger)
    crashes = "SELECT crash_count FROM document ORDER BY seq"
    read = bench.ledger.store._database.read
    assert [row.crash_count for row in read(lambda c: c.exec_driver_sql(crashes).all())] == [1, 0]


def test_a_store_that_is_away_when_a_document_is_named_does_not_end_the_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """L22: `suspect` and `release` raised out of `run`."""
    bench.start()
    job = bench.ledger.submit(3)
    bench.ledger.claimed(bench.ledger.keys(job)[0])
    crash(bench.ledger)
    run = bench.run_of(job)
    suspect, failures = bench.ledger.store.suspect, [StoreUnavailable("away")] * 2

    def flaky(key: SliceKey, attempt: int, seq: int) -> bool:
        if failures:
            raise failures.pop()
        return suspect(key, attempt, seq)

    monkeypatch.setattr(bench.ledger.store, "suspect", flaky)
    assert run.run()["succeeded"] == 3


def test_a_store_that_is_away_when_a_slice_is_given_back_does_not_end_the_run(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from models.errors import CannotLoadNow

    def away(*_args: object, **_options: object) -> bool:
        raise StoreUnavailable("away")

    bench.build_error = CannotLoadNow("the hub is away")
    bench.start()
    run = bench.run_of(bench.ledger.submit(3))
    monkeypatch.setattr(bench.ledger.store, "release", away)
    assert run.run() == {"slice": str(run.lease.key), "succeeded": 0, "failed": 0}
