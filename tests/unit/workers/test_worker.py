"""A worker process without Celery: claims, heartbeats, signs of life, stopping."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from jobs.catalogue import ModelEntry
from jobs.errors import BrokerUnavailable, StoreUnavailable
from jobs.records import Lease, LeaseState, Task
from jobs.settings import Settings
from tests.support.engines import GatedEngine
from tests.support.waiting import PATIENCE_SECONDS, wait_until
from tests.support.watching import nobody_is_told
from tests.unit.workers.conftest import LEASE_SECONDS, Bench
from workers.heartbeats import Heartbeats
from workers.signs import SignsOfLife
from workers.worker import Worker

MODEL = ModelEntry(name="m", task=Task.SENTIMENT, ref="noop:m")


class Releases:
    """Stands for the dispatcher: counts how often it was asked to send."""

    def __init__(self) -> None:
        self.num_asked = 0
        self.is_broken = False

    def release(self) -> int:
        self.num_asked += 1
        if self.is_broken:
            raise BrokerUnavailable
        return 0


@pytest.fixture
def releases() -> Releases:
    return Releases()


@pytest.fixture
def heartbeats(bench: Bench) -> Heartbeats:
    return Heartbeats(
        bench.ledger.store, lease_seconds=LEASE_SECONDS, on_death=lambda: bench.deaths.append("heartbeats")
    )


@pytest.fixture
def worker(bench: Bench, releases: Releases, heartbeats: Heartbeats) -> Iterator[Worker]:
    bench.engine = GatedEngine()
    bench.start()
    yield Worker(
        "w1", store=bench.ledger.store, dispatcher=releases, loop=bench.loop, heartbeats=heartbeats,  # type: ignore[arg-type]
        settings=Settings(), teller=nobody_is_told(),
    )  # fmt: skip
    bench.engine.gate.set()


def test_a_settled_slice_lets_the_next_go_of_whatever_job(
    worker: Worker, bench: Bench, releases: Releases
) -> None:
    assert isinstance(bench.engine, GatedEngine)
    bench.engine.gate.set()
    job = bench.ledger.submit(3)
    summary = worker.run_slice(bench.ledger.keys(job)[0])
    assert (summary["succeeded"], summary["failed"]) == (3, 0)
    assert releases.num_asked == 1


def test_a_broken_redis_does_not_fail_a_slice_that_is_settled(
    worker: Worker, bench: Bench, releases: Releases
) -> None:
    assert isinstance(bench.engine, GatedEngine)
    bench.engine.gate.set()
    releases.is_broken = True
    job = bench.ledger.submit(3)
    assert worker.run_slice(bench.ledger.keys(job)[0])["succeeded"] == 3


def test_a_message_that_comes_twice_is_computed_once(
    worker: Worker, bench: Bench, releases: Releases
) -> None:
    assert isinstance(bench.engine, GatedEngine)
    bench.engine.gate.set()
    key = bench.ledger.keys(bench.ledger.submit(3))[0]
    worker.run_slice(key)
    assert "skipped" in worker.run_slice(key)
    assert releases.num_asked == 2  # it had taken a place, too


def test_a_heartbeat_keeps_the_lease_and_brings_bad_news(
    worker: Worker, bench: Bench, heartbeats: Heartbeats
) -> None:
    job = bench.ledger.submit(3)
    run = bench.run_of(job)
    heard: list[LeaseState] = []
    run.heard = heard.append  # type: ignore[method-assign]
    heartbeats.add(run)
    for _ in range(4):  # longer than one lease in all
        bench.ledger.clock.advance(20)
        heartbeats.beat()
    assert heard == [LeaseState.HELD] * 4
    bench.ledger.store.cancel(job.id)
    heartbeats.beat()
    assert heard[-1] is not LeaseState.HELD


def test_a_store_that_is_away_is_no_reason_to_drop_a_lease(
    bench: Bench, heartbeats: Heartbeats, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = bench.run_of(bench.ledger.submit(3))
    heartbeats.add(run)

    def away(*_args: object, **_options: object) -> None:
        raise StoreUnavailable("away")

    monkeypatch.setattr(bench.ledger.store, "heartbeat", away)
    heartbeats.beat()
    assert not run._is_over()


def test_a_stop_lets_a_slice_finish_within_its_grace_and_takes_no_other(worker: Worker, bench: Bench) -> None:
    assert isinstance(bench.engine, GatedEngine)
    job = bench.ledger.submit(12)
    first, second = bench.ledger.keys(job)[:2]
    running = threading.Thread(target=worker.run_slice, args=(first,))
    running.start()
    assert bench.engine.entered.wait(PATIENCE_SECONDS)
    stopping = threading.Thread(target=worker.stop, kwargs={"grace_seconds": PATIENCE_SECONDS})
    stopping.start()
    wait_until(lambda: "skipped" in worker.run_slice(second), what="refuses more")
    bench.engine.gate.set()
    stopping.join(PATIENCE_SECONDS)
    running.join(PATIENCE_SECONDS)
    assert bench.statuses(job) == ["succeeded"] * 6


def test_after_the_grace_a_stop_gives_the_slice_back(worker: Worker, bench: Bench) -> None:
    assert isinstance(bench.engine, GatedEngine)
    job = bench.ledger.submit(3)
    key = bench.ledger.keys(job)[0]
    running = threading.Thread(target=worker.run_slice, args=(key,))
    running.start()
    assert bench.engine.entered.wait(PATIENCE_SECONDS)
    worker.stop(grace_seconds=0)
    running.join(PATIENCE_SECONDS)
    lease = bench.ledger.claim(key, worker="another")
    assert lease is not None
    assert not lease.isolation


def test_whoever_leaves_in_a_hurry_releases_every_lease_and_settles_no_more(
    worker: Worker, bench: Bench
) -> None:
    assert isinstance(bench.engine, GatedEngine)
    job = bench.ledger.submit(3)
    key = bench.ledger.keys(job)[0]
    running = threading.Thread(target=worker.run_slice, args=(key,))
    running.start()
    assert bench.engine.entered.wait(PATIENCE_SECONDS)
    worker.release_all()
    lease = bench.ledger.claim(key, worker="another")
    assert lease is not None
    assert not lease.isolation
    bench.engine.gate.set()  # the first worker's computation comes to its end all the same
    running.join(PATIENCE_SECONDS)
    assert bench.statuses(job) == []
    bench.ledger.finish(lease)
    assert bench.statuses(job) == ["succeeded"] * 3


def test_a_slice_claimed_at_the_last_moment_is_released_too(
    worker: Worker, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim that was on its way when the worker released its leases used to leave one behind."""
    key = bench.ledger.keys(bench.ledger.submit(3))[0]
    claim = bench.ledger.store.claim
    under_way, go_on = threading.Event(), threading.Event()

    def slow_claim(*args: Any, **options: Any) -> Lease | None:
        under_way.set()
        assert go_on.wait(PATIENCE_SECONDS)
        return claim(*args, **options)

    monkeypatch.setattr(bench.ledger.store, "claim", slow_claim)
    running = threading.Thread(target=worker.run_slice, args=(key,))
    leaving = threading.Thread(target=worker.release_all)
    running.start()
    assert under_way.wait(PATIENCE_SECONDS)
    leaving.start()
    wait_until(lambda: worker._stopping.is_set(), what="the worker is leaving")
    go_on.set()
    leaving.join(PATIENCE_SECONDS)
    assert bench.ledger.store.heartbeat({key: 1}, lease_seconds=30.0) == {key: LeaseState.LOST}
    assert isinstance(bench.engine, GatedEngine)
    bench.engine.gate.set()
    running.join(PATIENCE_SECONDS)


def test_signs_of_life_say_which_models_are_warm_and_end_with_the_worker(bench: Bench) -> None:
    bench.start()
    signs = SignsOfLife(
        bench.ledger.store, bench.loop, worker_id="w1", device="cpu", models=[MODEL], slots=2,
        on_death=lambda: None,
    )  # fmt: skip
    bench.loop.warm("m").result(PATIENCE_SECONDS)
    signs.start()
    (sign,) = wait_until(lambda: bench.ledger.store.workers(max_age_seconds=30), what="a sign of life")
    assert (sign.worker_id, sign.device, sign.models) == ("w1", "cpu", ("m",))
    assert sign.details["slots"] == 2
    signs.stop()
    assert bench.ledger.store.workers(max_age_seconds=30) == []
