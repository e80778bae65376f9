"""Everybody who waits for the loop is told once when it ends."""

from __future__ import annotations

import pytest

from models.errors import LoopDied, LoopStopped
from models.loop.ticket import Ticket
from models.loop.waiting_line import Reservation, Submission, Waiters, WarmUp
from tests.support.engines import documents


def submission() -> Submission:
    return Submission(0, Ticket("m", documents("x"), on_cancel=lambda _: None), documents("x"))


def test_all_who_wait_are_told_of_the_end_and_whoever_has_left_is_not() -> None:
    waiters, asked, warm, wish, gone = Waiters(), submission(), WarmUp("m"), Reservation(), WarmUp("n")
    for entry in (asked, warm, wish, gone):
        assert waiters.add(entry)
    waiters.remove(gone)
    assert not waiters.has_ended
    assert waiters.end(LoopStopped())
    assert waiters.has_ended
    with pytest.raises(LoopStopped):
        asked.ticket.outcomes(0)
    for told in (warm.done, wish.granted):
        assert isinstance(told.exception(0), LoopStopped)
    assert not gone.done.done()


def test_the_end_comes_once_and_who_comes_after_it_hears_of_the_first() -> None:
    """Twice, and whoever ends the process would be asked to do so again."""
    waiters, late = Waiters(), WarmUp("m")
    assert waiters.end(LoopDied("a step hangs", model="m"))
    assert not waiters.end(LoopStopped())
    assert not waiters.add(late)
    assert isinstance(late.done.exception(0), LoopDied)


def test_who_has_what_he_waited_for_is_not_told_of_the_end() -> None:
    warm, wish = WarmUp("m"), Reservation()
    warm.done.set_result(None)
    wish.granted.set_result(None)
    for entry in (warm, wish):
        entry.fail(LoopStopped())
    assert warm.done.result(0) is wish.granted.result(0) is None
