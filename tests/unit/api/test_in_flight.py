"""A repeat of a call that is still under way waits for it."""

from __future__ import annotations

import threading

from api.openai.in_flight import InFlight
from tests.support.waiting import wait_until


def test_the_same_call_waits_and_another_one_does_not() -> None:
    calls, order, entered = InFlight(), [], threading.Event()

    def repeat() -> None:
        with calls.alone("a"):
            order.append("repeat")

    with calls.alone("a"):
        thread = threading.Thread(target=repeat)
        thread.start()
        wait_until(lambda: calls._waiting["a"] == 2, timeout_seconds=10, what="the repeat is there")
        with calls.alone("b"):
            entered.set()
        order.append("first")
    thread.join(10)
    assert entered.is_set()
    assert order == ["first", "repeat"]
    assert not calls._calls
    assert not calls._waiting
