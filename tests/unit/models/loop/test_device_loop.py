"""The device loop, driven by engines without a model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from models.engine import Engine
from models.errors import CannotLoad, LoopDied, LoopStopped, ModelError
from models.loop.device_loop import DeviceLoop
from models.loop.pool import WarmPool
from models.loop.ticket import Ticket
from models.records import DocumentOutput, ModelSpec
from tests.support.engines import FakeEngine, GatedEngine, documents, specs
from tests.support.waiting import PATIENCE_SECONDS, wait_until

LONG = PATIENCE_SECONDS
Build = Callable[[ModelSpec], Engine]


class Rig:
    """A loop, its pool, and what it said when it died."""

    def __init__(self, build: Build, *, budget_bytes: int = 100, step_limit_seconds: float = 30.0) -> None:
        self.deaths: list[ModelError] = []
        self.pool = WarmPool(specs("a", "b"), build=build, budget_bytes=budget_bytes, estimate=lambda _: 10)
        self.loop = DeviceLoop(self.pool, on_death=self.deaths.append, step_limit_seconds=step_limit_seconds)
        self.loop.start()


@pytest.fixture
def rig() -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def make(build: Build, **options: float) -> Rig:
        rigs.append(Rig(build, **options))  # type: ignore[arg-type]
        return rigs[-1]

    yield make
    for one in rigs:
        one.loop.stop(0)


def texts_of(ticket: Ticket) -> dict[object, str]:
    texts: dict[object, str] = {}
    while ticket.num_open:
        outputs = ticket.outcomes(LONG)
        assert outputs
        texts.update((output.key, (output.output or {})["text"]) for output in outputs)
    return texts


def test_every_document_comes_back_once_under_its_own_key(rig: Callable[..., Rig]) -> None:
    loop = rig(lambda _: FakeEngine(per_step=2)).loop
    first, second = loop.submit("a", documents("x", "y", "z")), loop.submit("a", documents("p", "q"))
    assert texts_of(first) == {0: "X", 1: "Y", 2: "Z"}
    assert texts_of(second) == {0: "P", 1: "Q"}
    assert first.outcomes(0) == []


def test_engines_of_several_models_take_turns(rig: Callable[..., Rig]) -> None:
    engines: dict[str, FakeEngine] = {}

    def build(spec: ModelSpec) -> FakeEngine:
        return engines.setdefault(spec.name, FakeEngine())

    loop = rig(build).loop
    tickets = [loop.submit(name, documents(*"xyz")) for name in "ab"]
    for ticket in tickets:
        texts_of(ticket)
    assert [engines[name].num_steps for name in "ab"] == [3, 3]


def test_a_model_that_cannot_be_loaded_fails_its_ticket_and_nobody_elses(rig: Callable[..., Rig]) -> None:
    def build(spec: ModelSpec) -> Engine:
        if spec.name == "a":
            raise CannotLoad("a has no head")
        return FakeEngine()

    loop = rig(build).loop
    bad, good = loop.submit("a", documents("x")), loop.submit("b", documents("x"))
    with pytest.raises(CannotLoad, match="no head"):
        bad.outcomes(LONG)
    assert texts_of(good) == {0: "X"}
    with pytest.raises(CannotLoad):
        loop.warm("a").result(LONG)


def test_warming_loads_before_the_first_document(rig: Callable[..., Rig]) -> None:
    one = rig(lambda _: FakeEngine())
    one.loop.warm("b").result(LONG)
    assert one.pool.warm == ("b",)
    wait_until(lambda: "b" in one.loop.facts)


def test_a_model_waits_for_room_until_a_busy_one_is_done(rig: Callable[..., Rig]) -> None:
    gated = GatedEngine()
    gated.memory_bytes = 10
    one = rig(lambda spec: gated if spec.name == "a" else FakeEngine(memory_bytes=10), budget_bytes=15)
    busy = one.loop.submit("a", documents("x"))
    assert gated.entered.wait(LONG)
    waiting = one.loop.submit("b", documents("y"))
    gated.gate.set()
    assert texts_of(busy) == {0: "X"}
    assert texts_of(waiting) == {0: "Y"}
    assert gated.is_closed


def test_cancelled_documents_leave_the_engine_and_yield_nothing(rig: Callable[..., Rig]) -> None:
    gated = GatedEngine()
    loop = rig(lambda _: gated).loop
    ticket = loop.submit("a", documents("x", "y", "z"))
    assert gated.entered.wait(LONG)
    ticket.cancel()
    gated.gate.set()
    assert ticket.num_open == 0
    assert ticket.outcomes(0) == []
    assert texts_of(loop.submit("a", documents("later"))) == {0: "LATER"}
    assert gated.num_steps == 2  # the one that was under way, and the later document's


def test_documents_cancelled_before_they_enter_never_do(rig: Callable[..., Rig]) -> None:
    gated = GatedEngine()
    gated.memory_bytes = 10
    other = FakeEngine()
    one = rig(lambda spec: gated if spec.name == "a" else other, budget_bytes=15)
    busy = one.loop.submit("a", documents("x"))
    assert gated.entered.wait(LONG)
    one.loop.submit("b", documents("y")).cancel()
    gated.gate.set()
    texts_of(busy)
    assert other.num_steps == 0


class _Doubling(FakeEngine):
    def step(self) -> list[DocumentOutput]:
        return super().step() * 2


class _Losing(FakeEngine):
    def step(self) -> list[DocumentOutput]:
        super().step()
        return []


class _Raising(FakeEngine):
    def step(self) -> list[DocumentOutput]:
        raise ZeroDivisionError("inside a kernel")


@pytest.mark.parametrize(
    ("engine", "reason"),
    [(_Doubling, "answered a document twice"), (_Losing, "lost 1 document"), (_Raising, "inside a kernel")],
)
def test_a_broken_engine_ends_the_loop_and_every_waiter_is_told(
    rig: Callable[..., Rig], engine: type[FakeEngine], reason: str
) -> None:
    one = rig(lambda spec: engine() if spec.name == "a" else FakeEngine())
    ticket = one.loop.submit("a", documents("x"))

    def read_on() -> None:
        while ticket.num_open:
            ticket.outcomes(LONG)
        ticket.outcomes(LONG)
        one.loop.submit("a", documents("y")).outcomes(LONG)

    with pytest.raises(LoopDied, match=reason):
        read_on()
    wait_until(lambda: one.deaths)
    assert reason in str(one.deaths[0])
    assert not one.loop.is_alive
    with pytest.raises(LoopDied):
        one.loop.submit("b", documents("z")).outcomes(LONG)
    with pytest.raises(LoopDied):
        one.loop.warm("b").result(LONG)


def test_a_step_that_hangs_is_noticed_and_its_age_shows(rig: Callable[..., Rig]) -> None:
    gated = GatedEngine()
    one = rig(lambda _: gated, step_limit_seconds=0.2)
    ticket = one.loop.submit("a", documents("x"))
    with pytest.raises(LoopDied, match=r"a step of model 'a' took more than 0.2 s"):
        ticket.outcomes(LONG)
    assert one.loop.age_seconds >= 0.2
    wait_until(lambda: len(one.deaths) == 1)
    gated.gate.set()


def test_loading_is_not_taken_for_a_hang(rig: Callable[..., Rig]) -> None:
    gate = GatedEngine()

    def build(_: ModelSpec) -> Engine:
        gate.entered.set()
        gate.gate.wait(2.0)  # twice the limit of a step
        return FakeEngine()

    one = rig(build, step_limit_seconds=1.0)
    ticket = one.loop.submit("a", documents("x"))
    assert gate.entered.wait(LONG)
    assert one.loop.age_seconds == 0.0
    assert texts_of(ticket) == {0: "X"}
    assert one.deaths == []


def test_stopping_finishes_what_is_inside(rig: Callable[..., Rig]) -> None:
    one = rig(lambda _: FakeEngine())
    ticket = one.loop.submit("a", documents(*"abcdefgh"))
    one.loop.warm("a").result(LONG)  # behind the ticket in line: it is inside by now
    assert one.loop.stop(LONG)
    assert len(texts_of(ticket)) == 8
    assert one.pool.warm == ()
    with pytest.raises(LoopStopped):
        one.loop.submit("a", documents("x")).outcomes(LONG)
    assert one.deaths == []


def test_what_cannot_finish_in_the_grace_period_is_handed_back(rig: Callable[..., Rig]) -> None:
    class Endless(FakeEngine):
        def step(self) -> list[DocumentOutput]:
            return []

    one = rig(lambda _: Endless())
    ticket = one.loop.submit("a", documents("x"))
    one.loop.warm("a").result(LONG)
    assert not one.loop.stop(0.05)
    with pytest.raises(LoopStopped):
        ticket.outcomes(LONG)


def test_who_has_the_device_alone_waits_for_others_and_others_wait_for_him(rig: Callable[..., Rig]) -> None:
    gated = GatedEngine()
    one = rig(lambda spec: gated if spec.name == "a" else FakeEngine())
    before = one.loop.submit("a", documents("x"))
    assert gated.entered.wait(LONG)
    with pytest.raises(TimeoutError), one.loop.alone(timeout_seconds=0.01):
        pass
    gated.gate.set()
    with one.loop.alone(timeout_seconds=LONG) as holder:
        assert texts_of(before) == {0: "X"}
        other = one.loop.submit("b", documents("other"))
        mine = one.loop.submit("b", documents("mine"), holder=holder)
        assert texts_of(mine) == {0: "MINE"}
        assert other.num_open == 1
        assert other.outcomes(0) == []
    assert texts_of(other) == {0: "OTHER"}


def test_who_asked_for_the_device_while_others_computed_has_it_when_they_are_done(
    rig: Callable[..., Rig],
) -> None:
    gated = GatedEngine()  # a document a step
    loop = rig(lambda _: gated).loop
    inside = loop.submit("a", documents("x", "y", "z"))
    assert gated.entered.wait(LONG)
    is_mine = threading.Event()

    def take() -> None:
        with loop.alone(timeout_seconds=LONG):
            is_mine.set()

    thread = threading.Thread(target=take)
    thread.start()
    wait_until(lambda: not loop._inbox.empty(), what="it stands in line")
    gated.gate.set()  # it is looked at with two documents still inside
    assert is_mine.wait(LONG)
    thread.join(LONG)
    assert texts_of(inside) == {0: "X", 1: "Y", 2: "Z"}


def test_two_documents_with_one_key_are_refused(rig: Callable[..., Rig]) -> None:
    with pytest.raises(ValueError, match="same key"):
        rig(lambda _: FakeEngine()).loop.submit("a", documents("x") + documents("y"))


def test_a_load_that_does_not_come_back_is_noticed_at_its_own_limit() -> None:
    gate, deaths = threading.Event(), list[ModelError]()

    def build(_: ModelSpec) -> Engine:
        gate.wait(LONG)
        return FakeEngine()

    loop = DeviceLoop(
        WarmPool(specs("a"), build=build, budget_bytes=1),
        on_death=deaths.append,
        step_limit_seconds=0.1,
        load_limit_seconds=0.2,
    )
    loop.start()
    warm = loop.warm("a")
    with pytest.raises(LoopDied, match=r"a load of model 'a' took more than 0.2 s"):
        warm.result(LONG)
    wait_until(lambda: len(deaths) == 1)
    gate.set()


def test_neither_the_loop_nor_its_watchdog_keeps_a_process_alive() -> None:
    """A step that hangs is left to the end of the process, which must not wait for it."""
    loop = DeviceLoop(WarmPool(specs("a"), build=lambda _: FakeEngine(), budget_bytes=1), on_death=print)
    assert loop._thread.daemon
    assert loop._watchdog._thread.daemon
