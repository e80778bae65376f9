"""What a thread holds while the device loop computes its documents."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import pytest

from models.errors import LoopDied, LoopStopped
from models.loop.ticket import Ticket
from models.records import DocumentOutput
from tests.support.engines import documents
from tests.support.waiting import PATIENCE_SECONDS

LONG = PATIENCE_SECONDS


def ticket(*texts: str, on_cancel: Callable[[Ticket], None] = lambda _: None) -> Ticket:
    return Ticket("m", documents(*texts), on_cancel=on_cancel)


def outputs(*keys: int) -> list[DocumentOutput]:
    return [DocumentOutput(key=key, output={"text": str(key)}) for key in keys]


def test_outputs_are_handed_out_once_as_they_come() -> None:
    held = ticket("a", "b", "c")
    assert (held.model, held.keys, held.num_open) == ("m", (0, 1, 2), 3)
    held.deliver(outputs(1))
    held.deliver(outputs(0))
    assert held.outcomes(0) == outputs(1, 0)
    assert held.num_open == 1
    assert held.outcomes(0) == []
    held.deliver(outputs(2))
    assert held.outcomes(0) == outputs(2)
    assert held.num_open == 0


def test_who_waits_is_woken_by_an_output_an_error_and_a_cancel() -> None:
    for wake in (
        lambda held: held.deliver(outputs(0)),
        lambda held: held.fail(LoopStopped()),
        lambda held: held.cancel(),
    ):
        held, has_returned = ticket("a"), threading.Event()

        def wait(held: Ticket = held, has_returned: threading.Event = has_returned) -> None:
            with contextlib.suppress(LoopStopped):
                held.outcomes(10 * LONG)
            has_returned.set()

        threading.Thread(target=wait, daemon=True).start()
        assert not has_returned.is_set()
        wake(held)
        assert has_returned.wait(LONG)


def test_what_is_ready_is_handed_out_before_the_error_that_ended_it() -> None:
    held = ticket("a", "b")
    held.deliver(outputs(0))
    held.fail(LoopDied("a step hangs", model="m"))
    assert held.outcomes(0) == outputs(0)
    with pytest.raises(LoopDied, match="a step hangs"):
        held.outcomes(0)


def test_the_first_error_counts_and_none_does_when_all_is_done() -> None:
    held = ticket("a")
    held.fail(LoopStopped())
    held.fail(LoopDied("later", model="m"))
    with pytest.raises(LoopStopped):
        held.outcomes(0)
    done = ticket("a")
    done.deliver(outputs(0))
    done.outcomes(0)
    done.fail(LoopStopped())
    assert done.outcomes(0) == []


def test_a_cancelled_ticket_tells_the_loop_and_keeps_nothing() -> None:
    told: list[Ticket] = []
    held = ticket("a", "b", on_cancel=told.append)
    held.deliver(outputs(0))
    held.cancel()
    assert told == [held]
    assert held.num_open == 0
    held.deliver(outputs(1))
    assert held.outcomes(0) == []
