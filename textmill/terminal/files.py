"""Writing results: a file appears under its name only when it is complete."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from textmill.errors import UnwritableOutput
from textmill.terminal.foreign import ShownBytes

STDOUT = "-"


class Output:
    """A file being written beside its final name, or stdout.

    Left in order with `finish()` called: renamed. Left in order without: what there is
    stays as `NAME.part`. Left by an error: removed. A pipe or a device is written as it is;
    to a terminal, what it would obey is written out.

    Args:
        target: A path; `-` is stdout.
        on_failure: Said when writing fails: what the user can do then.
    """

    def __init__(self, target: str, *, on_failure: str = "") -> None:
        self.target = target
        self._on_failure = on_failure
        self._path = None if target == STDOUT else _file_behind(target)
        self._is_beside = self._path is not None and (self._path.is_file() or not self._path.exists())
        self._is_finished = False
        self._stream: IO[bytes] | None = None
        self._shown: ShownBytes | None = None

    @property
    def is_stdout(self) -> bool:
        """Whether this is not a file."""
        return self._path is None

    @property
    def partial_path(self) -> Path:
        """Where it is written until it is complete."""
        path = self._path or Path(self.target)
        return path.with_name(f"{path.name}.part") if self._is_beside else path

    def write(self, data: bytes) -> None:
        """Writes; only inside `with`.

        Raises:
            UnwritableOutput: the disk is full, for one.
        """
        try:
            self.stream.write(data if self._shown is None else self._shown.take(data))
        except BrokenPipeError:
            raise  # whoever read stdout has seen enough
        except OSError as error:
            raise self._failure(error) from error

    def flush(self) -> None:
        """What is written so far can be read."""
        self.stream.flush()

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
            self._shown = ShownBytes() if sys.stdout.isatty() else None
            return self
        if self._path.is_dir():
            raise self._failure(IsADirectoryError(0, "it is a folder"))
        try:
            self._stream = self.partial_path.open("wb")
        except OSError as error:
            raise self._failure(error) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._path is None:
            if self._shown is not None:
                self.stream.write(self._shown.rest())
            self.stream.flush()
            return
        try:
            self._close(has_failed=error is not None)
        except OSError as failure:
            if error is None:
                raise self._failure(failure) from failure

    def _close(self, *, has_failed: bool) -> None:
        assert self._path is not None
        try:
            self.stream.close()  # writes what is left, which may fail
        except OSError:
            if self._is_beside:
                self.partial_path.unlink(missing_ok=True)
            raise
        if not self._is_beside:
            return
        if has_failed:
            self.partial_path.unlink(missing_ok=True)
        elif self._is_finished:
            self.partial_path.replace(self._path)

    def _failure(self, error: OSError) -> UnwritableOutput:
        return _unwritable(self.target, error, self._on_failure)


def check_writable(target: str | None) -> None:
    """Finds out whether results could be written there, and leaves nothing behind.

    Raises:
        UnwritableOutput: they could not.
    """
    if target is None or target == STDOUT:
        return
    path = Output(target).partial_path
    is_new = not path.exists()
    try:
        if Path(target).is_dir() or path.is_dir():
            raise IsADirectoryError(0, "it is a folder")
        if is_new or path.is_file():
            path.open("ab").close()
        elif not os.access(path, os.W_OK):  # a pipe or a device: to open it may wait, or do something
            raise PermissionError(0, "permission denied")
    except OSError as error:
        raise _unwritable(target, error) from error
    if is_new:
        path.unlink(missing_ok=True)


def _file_behind(target: str) -> Path:
    path = Path(target)
    try:
        # A link stays a link, and what it leads to is written.
        return path.resolve() if path.is_file() or not path.exists() else path
    except OSError as error:  # a name too long, for one
        raise _unwritable(target, error) from error


def _unwritable(target: str, error: OSError, hint: str = "") -> UnwritableOutput:
    reason = error.strerror or str(error)
    if isinstance(error, FileNotFoundError):
        reason = f"there is no folder {Path(target).parent}"
    return UnwritableOutput(f"cannot write {target}: {reason}{'; ' if hint else ''}{hint}")
