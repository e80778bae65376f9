"""The two streams: answers on stdout, everything said around them on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import cache
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from textmill.terminal.foreign import shown


class SafeConsole(Console):
    """A console on which nothing that is printed can move the cursor or name the window.

    Whatever a text holds (results, names of columns, messages of a server), it passes here;
    the sequences of colours and of the progress bar are rich's own and come later.

    Args:
        is_data: What is printed is what was asked for: exact, unless a terminal shows it.
        **options: As `rich.console.Console` takes them.
    """

    def __init__(self, *, is_data: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self._is_exact = is_data and not self.is_terminal

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments of what is printed, made harmless."""
        for segment in super().render(renderable, options):
            if segment.control or self._is_exact:
                yield segment
            else:
                yield Segment(shown(segment.text), segment.style)


@cache
def answers() -> Console:
    """For what was asked for: ids, results, tables."""
    # Elsewhere than on a terminal rich assumes 80 columns and would cut ids off.
    return SafeConsole(is_data=True, highlight=False, width=None if sys.stdout.isatty() else 400)


@cache
def chatter() -> Console:
    """For progress, hints and errors."""
    return SafeConsole(stderr=True, highlight=False)
