"""The log files of a stack: their last lines, and what is added to them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from textmill.errors import UnreadableInput

_SUFFIX = ".log"
_LOOK_SECONDS = 0.5
#: Read from a file's end for its last lines.
_MOST_BYTES = 1 << 20


class LogFiles:
    """The logs in a folder, or one of them.

    Args:
        folder: Where `textmill up` writes them.
        part: The name of one; None: all.

    Raises:
        UnreadableInput: there is no such log, or none at all.
    """

    def __init__(self, folder: Path, part: str | None) -> None:
        found = {path.name.removesuffix(_SUFFIX): path for path in sorted(folder.glob(f"*{_SUFFIX}"))}
        if not found:
            raise UnreadableInput(
                f"no logs in {folder}: `textmill up` writes them; TEXTMILL_DATA names its folder"
            )
        if part is not None and part not in found:
            raise UnreadableInput(f"no log of {part!r} in {folder}; there are {', '.join(found)}")
        self._files = {part: found[part]} if part is not None else found
        self._ends: dict[str, int] = {}

    def last(self, count: int) -> Iterator[tuple[str, str]]:
        """The last lines of each, behind its name."""
        for name, path in self._files.items():
            with path.open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - _MOST_BYTES))
                lines = deque(_whole_lines(file), maxlen=count)
                self._ends[name] = file.tell()
            for line in lines:
                yield name, line

    def following(self, sleep: Callable[[float], None] = time.sleep) -> Iterator[tuple[str, str]]:
        """What is added from here on, for ever. A log that begins anew is read from its beginning."""
        while True:
            for name, path in self._files.items():
                yield from self._added(name, path)
            sleep(_LOOK_SECONDS)

    def _added(self, name: str, path: Path) -> Iterator[tuple[str, str]]:
        try:
            with path.open("rb") as file:
                end = self._ends.get(name, 0)
                file.seek(end if end <= file.seek(0, 2) else 0)
                for line in _whole_lines(file):
                    yield name, line
                self._ends[name] = file.tell()
        except FileNotFoundError:
            self._ends[name] = 0  # a new run sets old logs aside


def _whole_lines(file: IO[bytes]) -> Iterator[str]:
    """Lines that have their end; the place in the file stays before one that is still being written."""
    while line := file.readline():
        if not line.endswith(b"\n"):
            file.seek(-len(line), 1)
            return
        yield line.decode(errors="replace").rstrip("\r\n")
