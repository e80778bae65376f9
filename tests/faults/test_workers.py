"""Workers killed, frozen, stopped and poisoned."""

from __future__ import annotations

import signal
import statistics
import threading
import time
from collections.abc import Callable

from tests.faults.conftest import Profile
from tests.support.audit import audit
from tests.support.cluster import LEASE_SECONDS, Cluster
from tests.support.waiting import wait_until
from textmill.handle import JobHandle
from textmill.views import JobView

PATIENCE = 600.0


def submit(cluster: Cluster, count: int, *special: str) -> JobHandle:
    """A job of `count` documents, the special ones spread among them."""
    texts = [f"document {number}" for number in range(count)]
    for number, text in enumerate(special):
        texts.insert((number * 2 + 1) * len(texts) // (2 * len(special)), text)
    return cluster.client().submit(texts, task="sentiment")


def finished(job: JobHandle, cluster: Cluster | None = None) -> JobView:
    """Waits for the end, starting workers again that ended by themselves."""

    def look() -> JobView | None:
        if cluster is not None:
            cluster.mend()
        view = job.status()
        return view if view.is_final else None

    view = wait_until(look, timeout_seconds=PATIENCE, what="the job is finished", poll_seconds=0.2)
    assert view is not None
    return view


def test_workers_killed_at_random_lose_and_double_nothing(
    cluster: Callable[..., Cluster], profile: Profile
) -> None:
    # Documents die with a worker for no fault of their own here, some of them often.
    c = cluster(
        workers=3, TEXTMILL_MAX_CRASHES="9", TEXTMILL_FAULT_PACE_SECONDS=str(profile.pick(5, 20) / 1000)
    )
    kills = profile.pick(6, 200)
    job = submit(c, profile.pick(1500, 10_000))
    pause = threading.Event()
    num_killed = 0
    while not job.status().is_final and num_killed < kills:
        pause.wait(profile.dice.uniform(0.2, 1.5))
        name = profile.dice.choice(c.workers)
        c.kill(name)
        c.start_worker(name)
        num_killed += 1
    view = finished(job, c)
    profile.note(kills=num_killed)
    profile.settle(audit(c.database_url))
    assert view.counts.succeeded == view.counts.total


def test_a_killed_workers_slices_are_leased_again_soon(
    cluster: Callable[..., Cluster], profile: Profile
) -> None:
    c = cluster(workers=2, TEXTMILL_FAULT_PACE_SECONDS="0.05")
    delays: list[float] = []
    for _ in range(profile.pick(2, 20)):
        job = submit(c, 64)
        wait_until(lambda job=job: job.status().status == "running", timeout_seconds=30, what="it runs")  # type: ignore[misc]
        c.kill("w0")
        c.kill("w1")
        killed = time.monotonic()
        before = job.status().counts.succeeded
        c.start_worker("w0")
        c.start_worker("w1")
        wait_until(
            lambda job=job, before=before: job.status().counts.succeeded > before,  # type: ignore[misc]
            timeout_seconds=60,
            what="work goes on",
        )
        delays.append(time.monotonic() - killed)
        finished(job, c)
    profile.note(kills=2 * len(delays), worst_seconds=round(max(delays), 2),
                 median_seconds=round(statistics.median(delays), 2))  # fmt: skip
    profile.settle(audit(c.database_url))
    # The new workers' start is in it: about two seconds beside the lease and the sweep.
    assert max(delays) <= LEASE_SECONDS + 5.0


def test_a_worker_frozen_beyond_its_lease_is_refused_when_it_wakes(
    cluster: Callable[..., Cluster], profile: Profile
) -> None:
    # A step that seems to have taken as long as the freeze must not end the worker here.
    c = cluster(workers=2, TEXTMILL_FAULT_PACE_SECONDS="0.02", TEXTMILL_STEP_LIMIT_SECONDS="60")
    refused = 0
    for _ in range(profile.pick(1, 10)):
        job = submit(c, 600)
        wait_until(lambda job=job: job.status().counts.succeeded > 20, timeout_seconds=30, what="it runs")  # type: ignore[misc]
        c.freeze("w0")
        frozen = time.monotonic()
        wait_until(lambda frozen=frozen: time.monotonic() - frozen > 1.6 * LEASE_SECONDS,  # type: ignore[misc]
                   timeout_seconds=60, what="the lease is over")  # fmt: skip
        c.thaw("w0")
        finished(job, c)
        log = (c.folder / "w0.log").read_text()
        refused += log.count("slice_abandoned") + log.count("late_settlement_refused")
    profile.note(freezes=profile.pick(1, 10), refused=refused)
    profile.settle(audit(c.database_url))
    assert refused >= 1


def test_a_worker_frozen_while_idle_and_then_killed_loses_no_message(
    cluster: Callable[..., Cluster], profile: Profile
) -> None:
    c = cluster(workers=1)
    for _ in range(profile.pick(2, 50)):
        c.freeze("w0")
        job = submit(c, 4)  # its message goes to the frozen worker, and dies with it
        c.kill("w0")
        c.start_worker("w0")
        finished(job)
    profile.note(rounds=profile.pick(2, 50))
    profile.settle(audit(c.database_url))


def test_a_stopping_worker_gives_its_slices_back_at_once(
    cluster: Callable[..., Cluster], profile: Profile
) -> None:
    c = cluster(workers=2, TEXTMILL_FAULT_PACE_SECONDS="0.05", TEXTMILL_LEASE_SECONDS="60")
    exits: dict[str, float] = {}
    job = submit(c, 400)
    for signals in ([signal.SIGTERM], [signal.SIGINT], [signal.SIGQUIT], [signal.SIGTERM, signal.SIGTERM]):
        wait_until(lambda: job.status().status == "running", timeout_seconds=30, what="it runs")
        process = c.processes["w0"]
        begun = time.monotonic()
        for number in signals:
            process.send_signal(number)
        process.wait(30)
        exits["+".join(number.name for number in signals)] = round(time.monotonic() - begun, 2)
        c.mend()
        c.wait_ready()
    assert exits["SIGTERM"] < 3.0 + 4.0  # the grace, and a little
    assert exits["SIGQUIT"] < 2.0
    view = job.status()
    profile.note(exit_seconds=exits)
    if not view.is_final:
        job.cancel()
    finished(job, c)
    books = audit(c.database_url)
    profile.note(**books.row())
    assert books.is_clean


def test_documents_that_kill_or_hang_are_quarantined_and_the_innocent_succeed(
    cluster: Callable[..., Cluster], profile: Profile
) -> None:
    poison = ["kill", "hang"] * profile.pick(1, 5)
    c = cluster(workers=2, TEXTMILL_STEP_LIMIT_SECONDS="2", TEXTMILL_FAULT_PACE_SECONDS="0.001")
    job = submit(c, profile.pick(200, 2000), *poison)
    view = finished(job, c)
    failed = [result for result in job.results() if result.output is None]
    profile.note(poison=len(poison))
    profile.settle(audit(c.database_url))
    assert view.counts.failed == len(failed) == len(poison)
    assert {str(result.error["code"]) for result in failed if result.error} == {"quarantined"}
