"""The two streams: answers on stdout, everything said around them on stderr."""

from __future__ import annotations

import sys
from functools import cache

from rich.console import Console


@cache
def answers() -> Console:
    """For what was asked for: ids, results, tables."""
    # Elsewhere than on a terminal rich assumes 80 columns and would cut ids off.
    return Console(highlight=False, width=None if sys.stdout.isatty() else 400)


@cache
def chatter() -> Console:
    """For progress, hints and errors."""
    return Console(stderr=True, highlight=False)
