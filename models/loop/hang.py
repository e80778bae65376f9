"""Tells a step that hangs from one that is merely long.

A long step computes, and its thread uses the processor (waiting for a CUDA device does, too:
the driver spins). A thread in the middle of a step that has used none for seconds waits for
something that does not come; nobody has to wait for the limit to know that.

Time is counted from look to look, and no more than a look should take: a process that was
frozen, or a machine that slept, has not been at its step all that time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

#: Without the processor for so long, a step hangs. With looks a second apart it is noticed within 10 s.
STALLED_SECONDS = 8.0
_STALLED_SHARE = 0.001  # of the processor; a page that comes in from a slow disk already costs more
_SLOW_LOOK = 2.0  # a look may be late by the scheduler; beyond this nobody ran


@dataclass(frozen=True)
class Activity:
    """What the loop's thread is at, for the threads that watch it."""

    kind: str  #: idle | step | load
    model: str
    since_seconds: float


class HangDetector:
    """Asked every `interval_seconds`, it answers once an activity has gone on for too long."""

    def __init__(
        self,
        limits_seconds: Mapping[str, float],
        *,
        interval_seconds: float,
        cpu_seconds: Callable[[], float | None],
        clock: Callable[[], float],
        stalled_seconds: float = STALLED_SECONDS,
    ) -> None:
        """Sets up.

        Args:
            limits_seconds: by kind of activity; a kind without one may take for ever.
            interval_seconds: how often `look` will be called.
            cpu_seconds: processor time of the loop's thread so far; None where it cannot be known.
            clock: seconds that only grow.
            stalled_seconds: how long a step may go on without the processor.
        """
        self._limits_seconds = limits_seconds
        self._most_seconds = _SLOW_LOOK * interval_seconds
        self._cpu_seconds = cpu_seconds
        self._clock = clock
        self._stalled_after_seconds = stalled_seconds
        self._seen: Activity | None = None
        self._looked_at_seconds = clock()
        self._watched_seconds = 0.0
        self._stalled_seconds = 0.0
        self._last_cpu_seconds: float | None = None

    def look(self, activity: Activity) -> str | None:
        """What is wrong with the activity, if something is."""
        self._note(activity)
        limit_seconds = self._limits_seconds.get(activity.kind)
        if limit_seconds is None:
            return None
        what = f"a {activity.kind} of model {activity.model!r}"
        if self._watched_seconds > limit_seconds:
            return f"{what} took more than {limit_seconds:g} s"
        if activity.kind == "step" and self._stalled_seconds > self._stalled_after_seconds:
            return f"{what} has been waiting for {self._stalled_seconds:.0f} s without computing"
        return None

    def _note(self, activity: Activity) -> None:
        now = self._clock()
        passed_seconds = min(now - self._looked_at_seconds, self._most_seconds)
        self._looked_at_seconds = now
        cpu_seconds = self._cpu_seconds()
        if activity is not self._seen:
            self._seen = activity
            self._watched_seconds = min(now - activity.since_seconds, self._most_seconds)
            self._stalled_seconds = 0.0
        else:
            self._watched_seconds += passed_seconds
            self._stalled_seconds += passed_seconds
            if self._has_computed(cpu_seconds, passed_seconds):
                self._stalled_seconds = 0.0
        self._last_cpu_seconds = cpu_seconds

    def _has_computed(self, cpu_seconds: float | None, passed_seconds: float) -> bool:
        if cpu_seconds is None or self._last_cpu_seconds is None:
            return True  # unknown, which is no reason to end a process
        return cpu_seconds - self._last_cpu_seconds > _STALLED_SHARE * passed_seconds
