"""Numbers, times and sizes as people read them on a page."""

from __future__ import annotations

from datetime import UTC, datetime

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_KIBI = 1024
_WHOLE_FROM = 100
#: Where there is no number.
NONE = "\N{EN DASH}"
#: Units with the next smaller one, largest first.
_UNITS = ((_DAY, "d", _HOUR, "h"), (_HOUR, "h", _MINUTE, "min"), (_MINUTE, "min", 1, "s"))


def number(value: int) -> str:
    """With separators: 3,038,626."""
    return f"{value:,}"


def percent(part: int, whole: int) -> str:
    """One decimal at most; 100 % and 0 % are only said of all and of nothing."""
    if not whole or part >= whole:
        return "100 %"
    if part <= 0:
        return "0 %"
    value = min(99.9, max(0.1, round(100 * part / whole, 1)))
    return f"{value:g} %"


def speed(per_second: float | None) -> str:
    """Per second: 1,412 or 18.6; a dash where there is none."""
    if not per_second:
        return NONE
    if per_second >= _WHOLE_FROM:
        return f"{per_second:,.0f}"
    return f"{per_second:.1f}" if per_second >= 1 else f"{per_second:.2g}"


def duration(seconds: float) -> str:
    """Two units at most: 41 s, 26 min 40 s, 1 h 46 min, 3 d 4 h."""
    if 0 < seconds < 1:
        return f"{max(1, round(seconds * 1000))} ms"
    whole = round(seconds)
    for unit, name, below, small in _UNITS:
        if whole >= unit:
            rest = whole % unit // below
            return f"{whole // unit} {name}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s"


def about(seconds: float) -> str:
    """One unit, for how long something has been: 38 min, 2 h, 5 d."""
    whole = max(0, int(seconds))
    for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if whole >= unit:
            return f"{whole // unit} {name}"
    return f"{whole} s"


def ago(moment: datetime) -> str:
    """How long ago it was."""
    return about((datetime.now(UTC) - moment).total_seconds())


def absolute(moment: datetime) -> str:
    """With its zone; a browser puts the reader's own in its place."""
    return moment.strftime("%-d %b %Y, %H:%M:%S UTC")


def size(num_bytes: int) -> str:
    """In the largest unit that leaves a whole number before the point."""
    value = float(num_bytes)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < _KIBI:
            return f"{value:,.0f} {unit}" if unit == "bytes" or value >= 10 else f"{value:.1f} {unit}"
        value /= _KIBI
    return f"{value:,.1f} TiB"


def counted(value: int, noun: str) -> str:
    """1 job, 1,284 jobs."""
    return f"{value:,} {noun}" + ("" if value == 1 else "s")


def short(value: float) -> str:
    """In figures alone, where the exact number stands below: 16.6 G, 3.1 M, 157.6 k."""
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= unit:
            return f"{value / (1e3 if name == 'k' else unit):.1f} {name}"
    return f"{value:,.0f}"
