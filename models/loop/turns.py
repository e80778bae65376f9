"""Which engine steps next: whoever has had the device for the shortest time. Pure policy, no clock.

A step of one engine takes milliseconds, of another seconds. Did they step in turn, who decodes a
token a step would get one token between two batches of the other. So they share time: the start
times of fair queueing (Goyal, Vin and Cheng, "Start-time fair queueing", SIGCOMM 1996), where who
was idle begins with the others and is owed nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

_LEAST_SECONDS = 1e-6  # a clock that stands still must not give one engine every turn


class Turns:
    """Counts the time of each engine that has work."""

    def __init__(self) -> None:
        self._used_seconds: dict[str, float] = {}
        self._now_seconds = 0.0  # what the one who stepped last had used when its turn began

    def pick(self, names: Sequence[str]) -> str:
        """Whose turn it is; who is not named has no work."""
        used = {name: max(self._used_seconds.get(name, 0.0), self._now_seconds) for name in names}
        self._used_seconds |= used
        name = min(used, key=used.__getitem__)
        self._now_seconds = used[name]
        return name

    def note(self, name: str, seconds: float) -> None:
        """An engine has stepped for so long."""
        self._used_seconds[name] = self._used_seconds.get(name, 0.0) + max(seconds, _LEAST_SECONDS)
