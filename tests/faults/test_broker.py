"""Redis killed, emptied, full, away and frozen. It only carries, so nothing may be lost."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from celery import Celery

from jobs.broker import TASK_NAMES, make_celery
from jobs.catalogue import Catalogue
from jobs.records import Task
from jobs.settings import Settings
from tests.faults.conftest import Profile
from tests.faults.test_workers import finished, submit
from tests.support.audit import audit
from tests.support.cluster import Cluster
from tests.support.leases import LeaseBook
from tests.support.proxy import Proxy
from tests.support.waiting import PATIENCE_SECONDS, wait_until
from textmill.handle import JobHandle

MakeCluster = Callable[..., Cluster]
ShareCluster = Callable[[int], Cluster]


def running(job: JobHandle) -> None:
    wait_until(lambda: job.status().counts.succeeded > 0, what="the job runs")


@pytest.mark.parametrize("file", ["kept", "cut", "deleted"])
def test_a_killed_redis_comes_back_with_its_file(shared: ShareCluster, profile: Profile, file: str) -> None:
    c = shared(2)
    rounds = profile.pick(1, 10)
    for _ in range(rounds):
        job = submit(c, 600)
        running(job)
        c.kill("broker")
        if file == "cut":  # as a power failure leaves it: the last command is half written
            cut_tail(c.folder / "appendonlydir", profile.dice.randrange(1, 40))
        elif file == "deleted":
            shutil.rmtree(c.folder / "appendonlydir")
        threading.Event().wait(profile.dice.uniform(0.0, 2.0))
        c.start_broker()
        finished(job, c)
    profile.note(rounds=rounds)
    profile.settle(audit(c.database_url))


def test_workers_outlive_a_redis_that_dies_under_them(shared: ShareCluster, profile: Profile) -> None:
    """A soak found it: Celery could not hand messages back, and ended; its slices counted as crashes."""
    c = shared(2)
    rounds = profile.pick(2, 20)
    for _ in range(rounds):
        job = submit(c, 600)
        running(job)
        c.kill("broker")
        c.start_broker()
        wait_until(
            lambda job=job: any(map(c.has_ended, c.workers)) or job.status().is_final,  # type: ignore[misc]
            timeout_seconds=600, what="the job is finished", poll_seconds=0.2,
        )  # fmt: skip
        assert not any(map(c.has_ended, c.workers))
    profile.note(rounds=rounds)
    profile.settle(audit(c.database_url))


def cut_tail(folder: Path, num_bytes: int) -> None:
    """Shortens the part of the append-only file that grew last."""
    last = max(folder.glob("*.incr.aof"), key=lambda path: path.stat().st_mtime)
    with last.open("r+b") as file:
        file.truncate(max(0, last.stat().st_size - num_bytes))


def test_everything_in_redis_is_deleted_under_a_running_job(shared: ShareCluster, profile: Profile) -> None:
    c = shared(2)
    flushes = 0
    job = submit(c, profile.pick(800, 5000))
    running(job)
    while not job.status().is_final and flushes < profile.pick(3, 50):
        c.redis().flushall()
        flushes += 1
        threading.Event().wait(0.7)
    finished(job, c)
    profile.note(flushes=flushes)
    profile.settle(audit(c.database_url))


def test_redis_without_memory_stores_jobs_all_the_same(shared: ShareCluster, profile: Profile) -> None:
    c = shared(2)
    c.redis().config_set("maxmemory", "1mb")
    job = submit(c, 300)
    assert job.status().counts.total == 300
    threading.Event().wait(profile.pick(3, 30))
    c.redis().config_set("maxmemory", "0")
    finished(job, c)
    profile.note(full_seconds=profile.pick(3, 30))
    profile.settle(audit(c.database_url))


def test_a_link_to_redis_that_is_slow_falls_silent_or_breaks(profile: Profile, tmp_path: Path) -> None:
    c = Cluster(tmp_path / "c", workers=2, TEXTMILL_FAULT_PACE_SECONDS="0.01")
    proxy = Proxy(tmp_path / "c" / "broker.sock")
    c.reach_redis_through(f"redis://127.0.0.1:{proxy.port}/0")
    rounds = profile.pick(1, 6)
    silent_seconds, delay_seconds = 8.0, profile.pick(1, 2) / 10
    try:
        with c:
            for _ in range(rounds):
                job = submit(c, 400)
                running(job)
                proxy.fall_silent()
                threading.Event().wait(silent_seconds)
                proxy.speak_again()
                finished(job, c)
                job = submit(c, 200)
                running(job)
                proxy.reset()
                finished(job, c)
                proxy.delay(delay_seconds)
                finished(submit(c, 200), c)
                proxy.delay(0.0)
            profile.note(rounds=rounds, silent_seconds=silent_seconds, delay_seconds=delay_seconds)
            profile.settle(audit(c.database_url))
    finally:
        proxy.close()


def test_a_job_submitted_without_redis_runs_when_it_is_there(shared: ShareCluster, profile: Profile) -> None:
    c = shared(1)
    rounds = profile.pick(1, 5)
    for _ in range(rounds):
        c.kill("broker")
        job = submit(c, 50)
        assert not c.is_ready()
        c.start_broker()
        finished(job, c)
    profile.note(rounds=rounds)
    profile.settle(audit(c.database_url))


def test_messages_that_come_three_times_in_any_order_are_computed_once(
    shared: ShareCluster, profile: Profile
) -> None:
    c = shared(2)
    job = submit(c, profile.pick(600, 5000))
    celery = sender(c)
    with LeaseBook(c.database_url) as leases:
        numbers = [slice_.number for slice_ in leases.of_the_newest_job() for _ in range(3)]
    profile.dice.shuffle(numbers)
    for number in numbers:
        celery.send_task(
            TASK_NAMES[Task.SENTIMENT],
            args=[f"{job.id}.{number}"],
            queue="model.noop-s-e00b82",
            ignore_result=True,
        )
    finished(job, c)
    profile.note(slices=len(numbers) // 3, messages=len(numbers))
    profile.settle(audit(c.database_url))


def sender(c: Cluster) -> Celery:
    """A producer of our own, with the same settings as the API's."""
    settings = Settings(redis_url=c.broker.address.celery_url, data=c.folder, models=("sentiment=noop:s",))  # type: ignore[call-arg, arg-type]
    catalogue = Catalogue.load(settings)
    assert catalogue.get("noop:s").queue == "model.noop-s-e00b82"
    return make_celery(settings, catalogue)


def test_no_result_appears_after_a_cancel_even_without_redis(shared: ShareCluster, profile: Profile) -> None:
    c = shared(2)
    rounds = profile.pick(1, 10)
    for _ in range(rounds):
        job = submit(c, 6000)  # half a minute's work: it runs when the cancel comes
        running(job)
        c.freeze("broker")
        succeeded = job.cancel().counts.succeeded
        threading.Event().wait(1.5)
        view = job.status()
        assert (view.status, view.counts.succeeded) == ("cancelled", succeeded)
        c.thaw("broker")
    profile.note(cancels=rounds)
    profile.settle(audit(c.database_url))


def test_readiness_goes_red_while_every_worker_is_frozen(shared: ShareCluster, profile: Profile) -> None:
    c = shared(1)
    seconds = []
    for _ in range(profile.pick(1, 5)):
        wait_until(c.is_ready, what="readiness is green")
        c.freeze("w0")
        seconds.append(until_red(c))
        c.thaw("w0")
    wait_until(c.is_ready, what="readiness is green again")
    profile.note(freezes=len(seconds), red_after_seconds=max(seconds))
    profile.settle(audit(c.database_url))


def test_readiness_goes_red_while_the_loop_is_stuck_though_celery_answers(
    cluster: MakeCluster, profile: Profile
) -> None:
    # One that computes for ever, with a limit that keeps the watchdog from ending it.
    c = cluster(workers=1, TEXTMILL_STEP_LIMIT_SECONDS="600")
    job = submit(c, 10, "spin")
    seconds = until_red(c)
    (answer,) = the_workers_answer(sender(c)).values()
    assert answer == {"ok": "pong"}
    profile.note(red_after_seconds=seconds)
    job.cancel()
    profile.settle(audit(c.database_url))


def test_nobody_on_the_broker_leads_a_worker(shared: ShareCluster, profile: Profile) -> None:
    """S9: `control shutdown` ended the worker, `cancel_consumer` left its queue to nobody, unseen."""
    c = shared(1)
    celery = sender(c)
    control, (name,) = celery.control, the_workers_answer(celery)
    inspect = control.inspect([name], timeout=PATIENCE_SECONDS)  # which the one answer cuts short
    before = inspect.active_queues()
    orders: dict[str, dict[str, object]] = {
        "shutdown": {},
        "cancel_consumer": {"queue": before[name][0]["name"]},
        "rate_limit": {"task_name": TASK_NAMES[Task.SENTIMENT], "rate_limit": "1/h"},
        "pool_shrink": {"n": 8},
        "disable_events": {},
    }
    for order, arguments in orders.items():
        control.broadcast(order, arguments=arguments, destination=[name])
    finished(submit(c, 20), c)
    assert inspect.active_queues() == before
    assert not c.has_ended("w0")
    profile.settle(audit(c.database_url))


def the_workers_answer(celery: Celery) -> dict[str, object]:
    """What Celery answers for the only worker, by its name."""
    (answer,) = wait_until(
        lambda: celery.control.ping(timeout=PATIENCE_SECONDS, limit=1), what="Celery answers"
    )
    return dict(answer)


def until_red(c: Cluster) -> float:
    """Seconds until readiness is red."""
    begun = time.monotonic()
    wait_until(lambda: not c.is_ready(), what="readiness is red")
    return round(time.monotonic() - begun, 1)
