"""The two streams: answers on stdout, everything said around them on stderr."""

from __future__ import annotations

from functools import cache

from rich.console import Console


@cache
def answers() -> Console:
    """For what was asked for: ids, results, tables."""
    return Console(highlight=False)


@cache
def chatter() -> Console:
    """For progress, hints and errors."""
    return Console(stderr=True, highlight=False)
