"""A `textmill up` of our own in the background: for the demo and for tests."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from textmill.errors import StackError
from textmill.stack.child import child_environment, python, tie_to_parent
from textmill.stack.folder import RunningStack, read_note
from textmill.stack.supervisor import describe_exit

_POLL_SECONDS = 0.1
_STOP_SECONDS = 60.0


class BackgroundStack:
    """Runs `textmill up` on a data folder while entered; ready when entering returns."""

    def __init__(
        self,
        data: Path,
        *,
        flags: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        output: IO[bytes] | None = None,
        ready_timeout_seconds: float = 300.0,
    ) -> None:
        self.data = data.absolute()
        self._flags = tuple(flags)
        self._environment = environment or {}
        self._output = output
        self._ready_timeout_seconds = ready_timeout_seconds
        self._process: subprocess.Popen[bytes] | None = None
        self.stack: RunningStack | None = None

    @property
    def url(self) -> str:
        """Where its API answers."""
        return self._running.url

    @property
    def flower_url(self) -> str | None:
        """Where its Flower answers, if it has one."""
        return self._running.flower_url

    @property
    def pid(self) -> int:
        """Of `textmill up` itself."""
        return self._running.pid

    @property
    def exit_code(self) -> int | None:
        """Of `textmill up`; None while it runs."""
        return None if self._process is None else self._process.poll()

    def stop(self) -> int:
        """Asks it to stop as Ctrl-C does, and returns its exit code.

        Raises:
            StackError: it did not stop in a minute and was killed.
        """
        process = self._process
        if process is None:
            raise StackError("the stack was never started")
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        try:
            return process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()  # its children go with it: the kernel sees to that
            process.wait()
            raise StackError(f"`textmill up` did not stop in {_STOP_SECONDS:g} s and was killed") from None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            python("textmill", "up", "--port", "0", "--data", str(self.data), *self._flags),
            env=child_environment(self._environment),
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._output,
            start_new_session=True,  # Ctrl-C is ours to pass on, once
            preexec_fn=tie_to_parent(signal.SIGTERM),  # noqa: PLW1509 -- we fork from a single thread
        )
        try:
            self.stack = self._await_ready(self._process)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _running(self) -> RunningStack:
        if self.stack is None:
            raise StackError("the stack is not up")
        return self.stack

    def _await_ready(self, process: subprocess.Popen[bytes]) -> RunningStack:
        deadline = time.monotonic() + self._ready_timeout_seconds
        while time.monotonic() < deadline:
            note = read_note(self.data)
            if note is not None and note.pid == process.pid and note.is_ready:
                return note
            if (code := process.poll()) is not None:
                raise StackError(f"`textmill up` {describe_exit(code)} before it was ready")
            time.sleep(_POLL_SECONDS)
        raise StackError(f"`textmill up` was not ready in {self._ready_timeout_seconds:g} s")
