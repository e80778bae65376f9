"""When a failed delivery is tried again, and when a webhook is given up. Times are seconds."""

from __future__ import annotations

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0
#: Between the seven tries: soon for a restart, a day for an outage; 41.1 hours in all.
PAUSES_SECONDS = (_MINUTE, 5 * _MINUTE, _HOUR, 4 * _HOUR, 12 * _HOUR, 24 * _HOUR)
MOST_TRIES = len(PAUSES_SECONDS) + 1
#: So that what failed together does not come back together.
SPREAD = 0.1
#: A webhook whose last success is so long ago is disabled with the next delivery that is given up.
PATIENCE_SECONDS = 5 * _DAY
#: How long it can be seen what became of a delivery, and sent again.
KEPT_SECONDS = 30 * _DAY
_GONE = 410


def pause_after(tries: int, chance: float) -> float | None:
    """How long to wait after so many failed tries; None: that was the last.

    Args:
        tries: failed so far, this one included.
        chance: 0 to 1, where in the spread it falls.
    """
    if tries >= MOST_TRIES:
        return None
    return PAUSES_SECONDS[tries - 1] * (1 + SPREAD * chance)


def is_gone(http_status: int | None) -> bool:
    """Whether the receiver wants nothing more (Standard Webhooks: 410)."""
    return http_status == _GONE


def is_hopeless(*, failing_seconds: float, has_given_up: bool) -> bool:
    """Whether a webhook is disabled: nothing was delivered for days, and one more delivery was given up."""
    return has_given_up and failing_seconds >= PATIENCE_SECONDS
