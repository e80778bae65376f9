"""One mutant's process: a copy of the warm one, with files, a process group and a limit of its own."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_FAILED, _PASSED, _BROKEN = 1, 0, 3


class Fork:
    """`work` runs in it and says whether a test failed; it never comes back into the parent's loop."""

    def __init__(self, name: str, work: Callable[[], bool], *, limit_seconds: float) -> None:
        self.name = name
        self.begun_at = time.monotonic()
        self._ends_at = self.begun_at + limit_seconds
        self._folder = Path(tempfile.mkdtemp(prefix="mutant-"))
        #: processor time of it and of what it started, once it has ended
        self.cpu_seconds = 0.0
        self._pid = os.fork() or self._live(work)

    @property
    def seconds(self) -> float:
        """How long it has been there."""
        return time.monotonic() - self.begun_at

    def verdict(self) -> str | None:
        """What became of it, or None while it runs within its limit."""
        pid, status, usage = os.wait4(self._pid, os.WNOHANG)
        if pid == 0:
            if time.monotonic() < self._ends_at:
                return None
            self._end_group()
            _, _, usage = os.wait4(self._pid, 0)
        self.cpu_seconds = usage.ru_utime + usage.ru_stime
        self._end_group()  # what the tests started and did not end
        shutil.rmtree(self._folder, ignore_errors=True)
        if pid == 0:
            return "timeout"
        return "survived" if status == _PASSED else "crashed" if os.WIFSIGNALED(status) else "noticed"

    def _end_group(self) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self._pid, signal.SIGKILL)

    def _live(self, work: Callable[[], bool]) -> int:
        code = _BROKEN
        try:
            os.setpgid(0, 0)
            os.environ["PYTEST_DEBUG_TEMPROOT"] = os.environ["TMPDIR"] = str(self._folder)
            tempfile.tempdir = None
            nowhere = os.open(os.devnull, os.O_RDWR)
            for stream in range(3):
                os.dup2(nowhere, stream)
            code = _FAILED if work() else _PASSED
        finally:
            os._exit(code)
