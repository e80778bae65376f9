"""Writing results: a file appears under its name only when it is complete."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from textmill.errors import UnreadableInput

STDOUT = "-"


class Output:
    """A file being written beside its final name, or stdout.

    Left in order with `finish()` called: renamed. Left in order without: what there is
    stays as `NAME.part`. Left by an error: removed.
    """

    def __init__(self, target: str) -> None:
        self.target = target
        self._path = None if target == STDOUT else Path(target)
        self._is_finished = False
        self._stream: IO[bytes] | None = None

    @property
    def is_stdout(self) -> bool:
        """Whether this is not a file."""
        return self._path is None

    @property
    def partial_path(self) -> Path:
        """Where it is written until it is complete."""
        path = self._path or Path(self.target)
        return path.with_name(f"{path.name}.part")

    @property
    def stream(self) -> IO[bytes]:
        """Where to write; only inside `with`."""
        if self._stream is None:
            raise ValueError("the output is not open")
        return self._stream

    def finish(self) -> None:
        """All is written: the file may have its name."""
        self._is_finished = True

    def __enter__(self) -> Self:
        if self._path is None:
            self._stream = sys.stdout.buffer
            return self
        try:
            self._stream = self.partial_path.open("wb")
        except OSError as error:
            raise UnreadableInput(f"cannot write {self._path}: {error.strerror}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._path is None:
            self.stream.flush()
            return
        self.stream.close()
        if error is not None:
            self.partial_path.unlink(missing_ok=True)
        elif self._is_finished:
            self.partial_path.replace(self._path)
