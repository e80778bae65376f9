"""Which activities are taken for a hang, and when."""

from __future__ import annotations

import threading

from models.loop.hang import Activity, HangDetector
from models.processor_time import thread_cpu_seconds

_LIMIT_SECONDS = 300.0


class Thread:
    """The loop's thread under its watch, second by second."""

    def __init__(self, *, knows_cpu_time: bool = True) -> None:
        self.now = 1000.0
        self.cpu_seconds = 5.0
        self.activity = Activity("step", "m", self.now)
        self._knows_cpu_time = knows_cpu_time
        self.detector = HangDetector(
            {"step": _LIMIT_SECONDS, "load": 3600.0},
            interval_seconds=1.0,
            cpu_seconds=lambda: self.cpu_seconds if self._knows_cpu_time else None,
            clock=lambda: self.now,
        )

    def begin(self, kind: str) -> None:
        self.activity = Activity(kind, "m", self.now)

    def spend(self, seconds: int, *, computing: float) -> str | None:
        """The first complaint, as the thread computes for a share of the time."""
        for _ in range(seconds):
            self.now += 1.0
            self.cpu_seconds += computing
            complaint = self.detector.look(self.activity)
            if complaint:
                return complaint
        return None


def test_a_step_that_waits_without_computing_is_noticed_within_ten_seconds() -> None:
    thread = Thread()
    assert thread.spend(60, computing=1.0) is None
    begun = thread.now
    complaint = thread.spend(60, computing=0.0)
    assert complaint == "a step of model 'm' has been waiting for 9 s without computing"
    assert thread.now - begun <= 10.0


def test_a_step_that_computes_may_take_until_its_limit() -> None:
    thread = Thread()
    assert thread.spend(300, computing=0.02) is None
    assert thread.spend(1, computing=0.02) == "a step of model 'm' took more than 300 s"


def test_many_short_steps_are_no_long_one() -> None:
    thread = Thread()
    for _ in range(100):
        thread.begin("step")
        assert thread.spend(5, computing=0.0) is None


def test_a_load_may_wait_for_the_disk_and_an_idle_loop_for_ever() -> None:
    thread = Thread()
    thread.begin("load")
    assert thread.spend(1000, computing=0.0) is None
    thread.begin("idle")
    assert thread.spend(10_000, computing=0.0) is None


def test_a_process_that_was_frozen_has_not_been_at_its_step_all_the_time() -> None:
    """A worker thawed after its limit used to take its own freeze for a hang, and ended."""
    thread = Thread()
    assert thread.spend(2, computing=1.0) is None
    thread.now += 2 * _LIMIT_SECONDS
    assert thread.spend(3, computing=1.0) is None


def test_where_processor_time_is_unknown_only_the_limit_counts() -> None:
    thread = Thread(knows_cpu_time=False)
    assert thread.spend(299, computing=0.0) is None
    assert thread.spend(2, computing=0.0) == "a step of model 'm' took more than 300 s"


def test_the_processor_time_of_a_thread_grows_only_while_it_computes() -> None:
    begin, done, end = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begin.wait(30)
        sum(range(3_000_000))
        done.set()
        end.wait(30)

    thread = threading.Thread(target=work)
    assert thread_cpu_seconds(thread) is None
    thread.start()
    before = thread_cpu_seconds(thread)
    begin.set()
    assert done.wait(30)
    after = thread_cpu_seconds(thread)
    end.set()
    thread.join()
    assert thread_cpu_seconds(thread) is None
    if before is not None and after is not None:  # not every system tells
        assert after - before > 0.005
