"""A bar of progress: shares of a whole, as a server-rendered drawing needs them."""

from __future__ import annotations

from dataclasses import dataclass

from api.schemas import CountsOut

#: Three failures in a million can be seen.
_LEAST_FAILED_PERCENT = 0.7


@dataclass(frozen=True)
class Segment:
    """A part of the bar; both numbers are percentages of its width."""

    kind: str  #: a class of the style sheet: done, fail, run or gone
    begin: float
    width: float


def segments(counts: CountsOut) -> list[Segment]:
    """What succeeded, failed, runs and was cut off, from the left; what waits is the empty rest."""
    whole = max(1, counts.total)
    parts = (
        ("done", counts.succeeded), ("fail", counts.failed), ("run", counts.running),
        ("gone", counts.cancelled + counts.expired),
    )  # fmt: skip
    found: list[Segment] = []
    begin = 0.0
    for kind, count in parts:
        if count <= 0:
            continue
        width = 100 * count / whole
        if kind == "fail":
            width = max(width, _LEAST_FAILED_PERCENT)
            begin = min(begin, 100 - width)
        width = min(width, 100 - begin)
        found.append(Segment(kind, round(begin, 2), round(width, 2)))
        begin += width
    return found


def words(counts: CountsOut) -> str:
    """The same for those who hear it."""
    parts = (
        (counts.succeeded, "succeeded"), (counts.failed, "failed"), (counts.running, "running"),
        (counts.queued, "waiting"), (counts.cancelled, "cancelled"), (counts.expired, "expired"),
    )  # fmt: skip
    said = [f"{count:,} {name}" for count, name in parts if count]
    return f"{', '.join(said) or 'nothing'} of {counts.total:,}"
