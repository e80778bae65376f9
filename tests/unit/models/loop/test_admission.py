"""Who is let in to the device, in which order, and who is told what became of it."""

from __future__ import annotations

import pytest

from models.errors import CannotLoad, LoopStopped
from models.loop.admission import Admission
from models.loop.open_documents import OpenDocuments
from models.loop.pool import WarmPool
from models.loop.ticket import Ticket
from models.loop.vitals import Vitals
from models.loop.waiting_line import Reservation, Submission, Waiters, WarmUp
from models.records import ModelSpec
from tests.support.engines import FakeEngine, documents, specs


class Door:
    """An admission with what it looks after; models `a` and `b` take ten bytes each, `bad` has none."""

    def __init__(self, *, budget_bytes: int = 20) -> None:
        self.now = 100.0
        self.engines: dict[str, FakeEngine] = {}
        self.pool = WarmPool(
            specs("a", "b", "bad"),
            build=self._build,
            budget_bytes=budget_bytes,
            estimate=lambda _: 10,
            clock=lambda: self.now,
        )
        self.inside = OpenDocuments()
        self.waiters = Waiters()
        self.vitals = Vitals(self.pool, lambda: self.now)
        self.admission = Admission(self.pool, self.inside, self.waiters, self.vitals)
        self.loads: list[tuple[str, str, float]] = []
        self._numbers = 0

    def ask(self, model: str, *texts: str, holder: Reservation | None = None) -> Submission:
        self._numbers += 1
        ticket = Ticket(model, documents(*texts), on_cancel=lambda _: None)
        return self.stand(Submission(self._numbers, ticket, documents(*texts), holder))

    def stand(self, entry):  # type: ignore[no-untyped-def]
        assert self.waiters.add(entry)
        self.admission.stand_in_line(entry)
        return entry

    def texts(self, model: str) -> list[str]:
        """What is inside that model's engine."""
        return [document.text for document in self.engines[model].waiting.values()]

    def told_at_the_end(self, *entries) -> list[bool]:  # type: ignore[no-untyped-def]
        """Which of them still stood among those who wait."""
        self.waiters.end(LoopStopped())
        return [self._is_told(entry) for entry in entries]

    @staticmethod
    def _is_told(entry) -> bool:  # type: ignore[no-untyped-def]
        if isinstance(entry, Submission):
            return entry.ticket._error is not None
        future = entry.granted if isinstance(entry, Reservation) else entry.done
        return future.done() and future.exception() is not None

    def _build(self, spec: ModelSpec) -> FakeEngine:
        activity = self.vitals.activity
        self.loads.append((activity.kind, activity.model, self.vitals.age_seconds))
        if spec.name == "bad":
            raise CannotLoad("no head")
        self.engines[spec.name] = FakeEngine(memory_bytes=10)
        return self.engines[spec.name]


def test_documents_enter_in_order_and_nobody_stands_in_line_any_more() -> None:
    door = Door()
    door.ask("a", "x", "y")
    door.ask("b", "z")
    door.ask("a", "w")
    assert door.admission.may_admit
    door.admission.admit()
    assert not door.admission.may_admit
    assert door.texts("a") == ["x", "y", "w"]
    assert door.texts("b") == ["z"]
    assert len(door.inside) == 4


def test_who_must_wait_for_room_holds_up_everybody_behind() -> None:
    """Or busy models could keep another one out for ever."""
    door = Door(budget_bytes=10)
    door.ask("a", "x")
    door.ask("b", "y")
    door.ask("a", "later")
    door.admission.admit()
    assert door.texts("a") == ["x"]
    assert "b" not in door.engines
    assert door.admission.may_admit
    door.inside.settle("a", door.engines["a"].step())
    door.admission.admit()
    assert door.texts("b") == ["y"]


def test_a_model_that_cannot_be_loaded_turns_its_own_away_and_the_line_goes_on() -> None:
    door = Door()
    bad, warm, good = door.ask("bad", "x"), door.stand(WarmUp("bad")), door.ask("a", "y")
    door.admission.admit()
    with pytest.raises(CannotLoad, match="no head"):
        bad.ticket.outcomes(0)
    assert isinstance(warm.done.exception(0), CannotLoad)
    assert door.texts("a") == ["y"]
    assert door.told_at_the_end(good) == [True]


def test_whoever_hears_of_a_load_finds_it_told_already() -> None:
    """A worker that waits for its models reads what they say in the next line."""
    door = Door()
    door.stand(WarmUp("a"))
    door.stand(WarmUp("bad"))
    door.admission.admit()
    assert set(door.vitals.facts) == {"a"}
    assert set(door.vitals.failures) == {"bad"}


def test_a_load_is_shown_as_such_and_is_over_afterwards() -> None:
    door = Door()
    door.stand(WarmUp("a"))
    door.now += 7
    door.admission.admit()
    assert door.loads == [("load", "a", 0.0)]
    assert (door.vitals.activity.kind, door.vitals.age_seconds) == ("idle", 7.0)


def test_a_warm_model_is_not_loaded_again() -> None:
    door = Door()
    first, second = door.stand(WarmUp("a")), door.stand(WarmUp("a"))
    door.admission.admit()
    assert len(door.loads) == 1
    assert first.done.result(0) is second.done.result(0) is None
    assert door.told_at_the_end(first, second) == [False, False]


def test_the_device_is_granted_when_nothing_is_inside_and_then_its_holder_alone_comes_in() -> None:
    door = Door()
    before, wish = door.ask("a", "x"), door.stand(Reservation())
    door.admission.admit()
    assert not wish.granted.done()
    door.inside.settle("a", door.engines["a"].step())
    door.admission.admit()
    assert wish.granted.result(0) is None
    door.ask("a", "other")
    assert not door.admission.may_admit
    door.ask("b", "mine", holder=wish)
    assert door.admission.may_admit
    door.admission.admit()
    assert door.texts("b") == ["mine"]
    assert door.texts("a") == []
    door.admission.release(wish)
    door.admission.admit()
    assert door.texts("a") == ["other"]
    assert before.ticket.outcomes(0)


def test_documents_of_an_older_holder_do_not_come_in_during_a_newer_ones_turn() -> None:
    door = Door()
    old, new = door.stand(Reservation()), door.stand(Reservation())
    door.admission.admit()
    door.admission.release(old)
    door.admission.admit()
    assert new.granted.result(0) is None
    door.ask("a", "late", holder=old)
    assert not door.admission.may_admit


def test_who_gave_up_waiting_for_the_device_is_forgotten_and_the_holder_keeps_it() -> None:
    door = Door()
    holder, impatient = door.stand(Reservation()), door.stand(Reservation())
    door.admission.admit()
    door.admission.release(impatient)
    door.admission.release(impatient)
    door.ask("a", "x")
    assert not door.admission.may_admit
    door.admission.release(holder)
    door.admission.admit()
    assert door.texts("a") == ["x"]
    assert door.told_at_the_end(impatient, holder) == [False, False]


def test_documents_cancelled_in_line_never_enter_and_those_inside_leave_their_engine() -> None:
    door = Door(budget_bytes=10)
    inside, beside, waiting, after = (
        door.ask("a", "x"),
        door.ask("a", "y"),
        door.ask("b", "z"),
        door.ask("a", "w"),
    )
    door.admission.admit()
    door.admission.cancel(waiting)
    door.admission.cancel(inside)
    door.admission.admit()
    assert door.texts("a") == ["y", "w"]
    assert len(door.inside) == 2
    assert "b" not in door.engines
    assert door.told_at_the_end(inside, waiting, beside, after) == [False, False, True, True]


def test_a_cancel_of_what_is_done_leaves_the_engine_alone() -> None:
    door = Door()
    done = door.ask("a", "x")
    door.admission.admit()
    door.inside.settle("a", door.engines["a"].step())
    door.pool.close()
    door.admission.cancel(done)
    assert len(door.inside) == 0


def test_all_in_line_are_turned_away_with_the_reason_and_heard_once() -> None:
    door = Door()
    asked, warm, wish = door.ask("a", "x"), door.stand(WarmUp("a")), door.stand(Reservation())
    door.admission.turn_all_away(LoopStopped())
    assert not door.admission.may_admit
    with pytest.raises(LoopStopped):
        asked.ticket.outcomes(0)
    assert isinstance(warm.done.exception(0), LoopStopped)
    assert isinstance(wish.granted.exception(0), LoopStopped)
    assert door.waiters._entries == set()
