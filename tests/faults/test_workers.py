"""Workers killed, frozen, stopped and poisoned."""

from __future__ import annotations

import math
import signal
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus

from tests.faults.conftest import Profile
from tests.support.audit import audit
from tests.support.cluster import LEASE_SECONDS, Cluster
from tests.support.fault_engine import ERROR_OF
from tests.support.leases import HeldSlice, LeaseBook
from tests.support.waiting import wait_until
from textmill.client import Textmill
from textmill.errors import RequestRefused
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
    num_killed = num_leases = 0
    with LeaseBook(c.database_url) as leases:
        while not job.status().is_final and num_killed < kills:
            pause.wait(profile.dice.uniform(0.2, 1.5))
            name = profile.dice.choice(c.workers)
            num_leases += len(leases.held_by(name))
            c.kill(name)
            c.start_worker(name)
            num_killed += 1
    view = finished(job, c)
    profile.note(kills=num_killed, leases_cut_off=num_leases)
    profile.settle(audit(c.database_url))
    assert view.counts.succeeded == view.counts.total
    assert num_leases, "no kill hit a slice"


def test_a_killed_workers_slices_are_leased_again_soon(
    cluster: Callable[..., Cluster], profile: Profile
) -> None:
    c = cluster(
        workers=3,
        TEXTMILL_SLICE_DOCUMENTS="16",
        TEXTMILL_FAULT_PACE_SECONDS="0.05",
        TEXTMILL_MAX_CRASHES="9",
    )
    delays: list[float] = []
    with LeaseBook(c.database_url) as leases:
        for _ in range(profile.pick(2, 40)):
            job = submit(c, 8 * 16)  # as many slices as two workers hold at once
            victim, cut_off = freeze_a_holder(c, leases, profile.dice.sample(c.workers, 3))
            c.kill(victim)
            delays += until_taken_over(leases, cut_off)
            c.start_worker(victim)
            finished(job, c)
            c.wait_ready()
    ordered = sorted(delays)
    p99_seconds = ordered[math.ceil(0.99 * len(ordered)) - 1]
    profile.note(lease_seconds=LEASE_SECONDS, leases_cut_off=len(delays),
                 median_seconds=round(statistics.median(delays), 2), p99_seconds=round(p99_seconds, 2),
                 worst_seconds=round(ordered[-1], 2))  # fmt: skip
    profile.settle(audit(c.database_url))
    assert p99_seconds <= LEASE_SECONDS + 5.0


def freeze_a_holder(c: Cluster, leases: LeaseBook, names: Sequence[str]) -> tuple[str, list[HeldSlice]]:
    """Freezes the first of these workers that leaves slices behind which others can take over."""

    def look() -> tuple[str, list[HeldSlice]] | None:
        name = next(filter(leases.held_by, names), None)
        if name is None:
            return None
        c.freeze(name)
        held = leases.held_by(name)  # it may have settled them before it stood still
        if held and leases.can_be_written():
            return name, held
        c.thaw(name)
        return None

    frozen = wait_until(look, timeout_seconds=60, what="a worker stands still in the middle of slices")
    assert frozen is not None
    return frozen


def until_taken_over(leases: LeaseBook, cut_off: list[HeldSlice]) -> list[float]:
    """For each slice, the time until somebody else had it."""
    begun = time.monotonic()
    missing, delays = list(cut_off), []

    def look() -> bool:
        for one in [one for one in missing if leases.is_taken_over(one)]:
            missing.remove(one)
            delays.append(time.monotonic() - begun)
        return not missing

    wait_until(look, timeout_seconds=60, what="every slice has been taken over", poll_seconds=0.05)
    return delays


def test_a_worker_frozen_beyond_its_lease_is_refused_when_it_wakes(
    cluster: Callable[..., Cluster], profile: Profile
) -> None:
    # A step has not taken as long as the freeze: the limit of 4 s must not end the worker here.
    c = cluster(workers=2, TEXTMILL_FAULT_PACE_SECONDS="0.02", TEXTMILL_STEP_LIMIT_SECONDS="4")
    rounds, num_left = profile.pick(1, 10), 0
    with LeaseBook(c.database_url) as leases:
        for _ in range(rounds):
            job = submit(c, 600)
            name, left = freeze_a_holder(c, leases, c.workers)
            refused_before = num_refused(c, name)
            until_taken_over(leases, left)
            c.thaw(name)
            wait_until(lambda n=name, before=refused_before: num_refused(c, n) > before,  # type: ignore[misc]
                       timeout_seconds=60, what="the worker hears that its slices are no longer its own")  # fmt: skip
            num_left += len(left)
            finished(job, c)
    refused = sum(num_refused(c, name) for name in c.workers)
    profile.note(freezes=rounds, leases_taken_over=num_left, refused=refused)
    profile.settle(audit(c.database_url))


def num_refused(c: Cluster, name: str) -> int:
    """How often a worker heard that a slice is no longer its own."""
    log = (c.folder / f"{name}.log").read_text()
    return log.count("slice_abandoned") + log.count("late_settlement_refused")


def test_a_worker_frozen_while_idle_and_then_killed_loses_no_message(
    cluster: Callable[..., Cluster], profile: Profile
) -> None:
    """A worker frozen between two jobs may hold SQLite's write lock; one run in fifty used to fail of it."""
    c = cluster(workers=1)
    rounds, num_done, num_refused = profile.pick(2, 50), 0, 0
    while num_done < rounds:
        c.freeze("w0")
        job = submit_to_frozen(c)  # its message goes to the frozen worker, and dies with it
        c.kill("w0")
        c.start_worker("w0")
        if job is None:
            num_refused += 1
            continue
        finished(job)
        num_done += 1
    profile.note(rounds=num_done, refused_by_a_locked_database=num_refused)
    profile.settle(audit(c.database_url))


def submit_to_frozen(cluster: Cluster) -> JobHandle | None:
    """A job of four documents; None when it was refused because the frozen process holds the database."""
    try:
        client = Textmill(cluster.url, retry_seconds=5)
        return client.submit([f"document {number}" for number in range(4)], task="sentiment")
    except RequestRefused as refused:
        if refused.status != HTTPStatus.SERVICE_UNAVAILABLE:
            raise
        return None


STOPS = (
    # signals, exit code, seconds it may take: a grace of 3 s, or at once
    ([signal.SIGTERM], 0, 3.0 + 3.0),
    ([signal.SIGINT], 0, 3.0 + 3.0),
    ([signal.SIGQUIT], 128 + signal.SIGQUIT, 2.0),
    ([signal.SIGTERM, signal.SIGTERM], 128 + signal.SIGTERM, 2.0),
)


def test_a_stopping_worker_gives_its_slices_back_at_once(
    cluster: Callable[..., Cluster], profile: Profile
) -> None:
    """SIGQUIT and a second signal used to leave their leases to lapse."""
    # A step of 0.8 s and a slice of 6 s: every stop comes in the middle of both.
    c = cluster(workers=1, TEXTMILL_FAULT_PACE_SECONDS="0.1", TEXTMILL_LEASE_SECONDS="60")
    exits: dict[str, float] = {}
    with LeaseBook(c.database_url) as leases:
        for signals, exit_code, most_seconds in STOPS * profile.pick(1, 5):
            job = submit(c, 300)
            wait_until(lambda: leases.held_by("w0"), timeout_seconds=30, what="w0 has a lease")
            process = c.processes["w0"]
            log = c.folder / "w0.log"
            stops = log.read_text().count("worker_stopping")
            process.send_signal(signals[0])
            if signals[1:]:  # two of a kind at once would be one
                wait_until(lambda log=log, stops=stops: log.read_text().count("worker_stopping") > stops,  # type: ignore[misc]
                           timeout_seconds=10, what="the first signal was heard")  # fmt: skip
                process.send_signal(signals[1])
            begun = time.monotonic()
            assert process.wait(30) == exit_code
            seconds = time.monotonic() - begun
            assert seconds < most_seconds, signals
            assert not leases.held_by("w0"), f"{signals} left a lease behind"
            name = "+".join(number.name for number in signals)
            exits[name] = max(exits.get(name, 0.0), round(seconds, 2))
            job.cancel()
            c.mend()
            c.wait_ready()
    profile.note(worst_exit_seconds=exits)
    profile.settle(audit(c.database_url))


def test_poison_fails_with_its_reason_and_the_innocent_succeed(
    cluster: Callable[..., Cluster], profile: Profile
) -> None:
    poison = list(ERROR_OF) * profile.pick(1, 5)
    # At length with the limit that users have: what hangs is then found by its idleness.
    limit_seconds = profile.pick(2, 300)
    c = cluster(
        workers=2, TEXTMILL_STEP_LIMIT_SECONDS=str(limit_seconds), TEXTMILL_FAULT_PACE_SECONDS="0.001"
    )
    job = submit(c, profile.pick(200, 2000), *poison)
    view = finished(job, c)
    failed = [(result.seq, result.error["code"]) for result in job.results() if result.error]
    fatal = sum(ERROR_OF[name] == "quarantined" for name in poison)
    profile.note(poison=len(poison), fatal=fatal, workers_lost=c.num_mended)
    profile.settle(audit(c.database_url))
    assert view.counts.failed == len(poison)
    assert [code for _, code in sorted(failed)] == [ERROR_OF[name] for name in poison]
    assert c.num_mended <= 3 * fatal
