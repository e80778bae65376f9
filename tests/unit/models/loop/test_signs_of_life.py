"""What the threads that watch the loop see of it, and when they raise the alarm."""

from __future__ import annotations

import threading

import pytest

from models.loop.pool import WarmPool
from models.loop.vitals import Vitals
from models.loop.watchdog import Watchdog
from tests.support.engines import FakeEngine, specs
from tests.support.waiting import wait_until


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pool() -> WarmPool:
    return WarmPool(specs("a"), build=lambda _: FakeEngine(), budget_bytes=1)


def test_the_age_is_that_of_the_last_turn(clock: Clock, pool: WarmPool) -> None:
    vitals = Vitals(pool, clock)
    clock.now += 3
    assert vitals.age_seconds == 3
    vitals.note_turn()
    assert vitals.age_seconds == 0
    clock.now += 2
    with vitals.busy_with("step", "a"):
        assert vitals.age_seconds == 2
    with vitals.busy_with("load", "a"):
        assert vitals.age_seconds == 0


def test_what_is_done_is_shown_with_its_model_and_its_beginning(clock: Clock, pool: WarmPool) -> None:
    vitals = Vitals(pool, clock)
    seen = [vitals.activity]

    def step() -> None:
        with vitals.busy_with("step", "a"):
            seen.append(vitals.activity)
            clock.now = 61.0
            raise ZeroDivisionError

    clock.now = 60.0
    with pytest.raises(ZeroDivisionError):
        step()
    seen.append(vitals.activity)
    shown = [(activity.kind, activity.model, activity.since_seconds) for activity in seen]
    assert shown == [("idle", "", 50.0), ("step", "a", 60.0), ("idle", "", 61.0)]


def test_models_are_asked_at_once_and_then_once_a_second(clock: Clock, pool: WarmPool) -> None:
    vitals = Vitals(pool, clock)
    assert (vitals.facts, vitals.failures) == ({}, {})
    pool.load("a").step()
    vitals.publish()
    assert vitals.facts["a"]["steps"] == 1
    engine = pool.get("a")
    assert engine is not None
    engine.step()
    clock.now += 0.99
    vitals.publish()
    assert vitals.facts["a"]["steps"] == 1
    clock.now += 0.01
    vitals.publish()
    assert vitals.facts["a"]["steps"] == 2
    engine.step()
    vitals.publish_now()
    assert vitals.facts["a"]["steps"] == 3


def test_a_watchdog_tells_the_first_bad_answer_once_and_asks_no_more() -> None:
    answers, alarms, asked = [None, None, "it hangs", "later"], [], threading.Event()

    def ask() -> str | None:
        asked.set()
        return answers.pop(0)

    watchdog = Watchdog(ask=ask, on_alarm=alarms.append, interval_seconds=0.001)
    assert not asked.is_set()
    watchdog.start()
    wait_until(lambda: not watchdog._thread.is_alive(), what="it has nothing more to do")
    assert alarms == ["it hangs"]
    assert answers == ["later"]


def test_a_stopped_watchdog_asks_no_more() -> None:
    asked = threading.Event()

    def ask() -> None:
        asked.set()

    watchdog = Watchdog(ask=ask, on_alarm=lambda _: None, interval_seconds=3600.0)
    watchdog.start()
    watchdog.stop()
    wait_until(lambda: not watchdog._thread.is_alive(), what="it ends")
    assert not asked.is_set()
