"""Waiting for a fact instead of sleeping."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

#: For what takes a moment on an idle machine. Whoever waits in vain waits so long once.
PATIENCE_SECONDS = 120.0


def wait_until(
    fact: Callable[[], T],
    *,
    timeout_seconds: float = PATIENCE_SECONDS,
    what: str = "",
    poll_seconds: float = 0.02,
) -> T:
    """The first truthy value of `fact()`; fails the test when none comes in time."""
    pause = threading.Event()
    deadline = time.monotonic() + timeout_seconds
    while True:
        value = fact()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout_seconds} s: {what or fact}; last value {value!r}")
        pause.wait(poll_seconds)
