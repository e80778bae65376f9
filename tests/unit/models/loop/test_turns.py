"""Engines share the device's time, whatever their steps take."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.loop.device_loop import DeviceLoop
from models.loop.pool import WarmPool
from models.loop.turns import Turns
from models.records import DocumentOutput
from tests.support.engines import FakeEngine, documents, specs
from tests.support.waiting import wait_until


def test_an_engine_of_short_steps_has_many_between_two_long_ones() -> None:
    """S2's kind: who decodes had one token for each batch of seconds of another model."""
    turns, steps = Turns(), Counter[str]()
    for _ in range(1000):
        name = turns.pick(["batches", "tokens"])
        turns.note(name, 3.0 if name == "batches" else 0.02)
        steps[name] += 1
    assert steps["tokens"] / steps["batches"] == pytest.approx(150, rel=0.1)


def test_who_was_idle_is_owed_nothing() -> None:
    turns = Turns()
    for _ in range(100):
        turns.note(turns.pick(["old"]), 1.0)
    names = []
    for _ in range(10):
        names.append(turns.pick(["old", "new"]))
        turns.note(names[-1], 1.0)
    assert Counter(names) == {"old": 5, "new": 5}
    assert names[0] == "new"


@given(
    st.dictionaries(st.sampled_from("abcd"), st.floats(0, 5), min_size=2),
    st.lists(st.sets(st.sampled_from("abcd"), min_size=1), min_size=1, max_size=60),
)
def test_among_those_who_always_have_work_nobody_is_more_than_a_step_ahead(
    seconds: dict[str, float], others: list[set[str]]
) -> None:
    turns, used = Turns(), Counter[str]()
    always = sorted(seconds)[:2]
    for present in others:
        names = sorted({*always, *(present & seconds.keys())})
        name = turns.pick(names)
        turns.note(name, seconds[name])
        used[name] += max(seconds[name], 1e-6)  # type: ignore[assignment]
    first, second = (used[name] for name in always)
    assert abs(first - second) <= max(seconds.values()) + 1e-3


class Timed(FakeEngine):
    """Moves the loop's clock by what a step takes, and notes whose step it was."""

    def __init__(self, name: str, seconds: float, clock: list[float], order: list[str]) -> None:
        super().__init__()
        self._name, self._seconds, self._clock, self._order = name, seconds, clock, order

    def step(self) -> list[DocumentOutput]:
        self._clock[0] += self._seconds
        self._order.append(self._name)
        return super().step()


def test_the_device_loop_shares_time_between_models() -> None:
    clock, order = [0.0], list[str]()
    seconds = {"a": 1.0, "b": 0.01}
    pool = WarmPool(
        specs("a", "b"), build=lambda spec: Timed(spec.name, seconds[spec.name], clock, order), budget_bytes=1
    )
    loop = DeviceLoop(pool, on_death=lambda _: None, clock=lambda: clock[0])
    tickets = [loop.submit("a", documents(*"xyz")), loop.submit("b", documents(*map(str, range(90))))]
    loop.start()
    for ticket in tickets:
        wait_until(lambda ticket=ticket: ticket.outcomes(0.1) == [] and not ticket.num_open)
    assert "".join(order).count("a" + 90 * "b") == 1
    loop.stop(0)


def test_what_was_used_before_its_first_turn_counts_from_nothing() -> None:
    turns = Turns()
    turns.note("a", 0.5)
    turns.pick(["b"])
    turns.note("b", 1.0)
    assert turns.pick(["b", "a"]) == "a"
