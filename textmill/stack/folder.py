"""The data folder of one stack: held by one `textmill up` at a time, and saying where it answers."""

from __future__ import annotations

import fcntl
import ipaddress
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from jobs.errors import ConfigurationError
from jobs.privacy import is_own, make_private
from textmill.errors import FolderInUse, StackError

_NOTE = "up.json"
_LOCK = "up.lock"


@dataclass(frozen=True, kw_only=True)
class RunningStack:
    """What a running `textmill up` tells others about itself."""

    pid: int
    url: str
    flower_url: str | None = None
    is_ready: bool = False


class DataFolder:
    """Holds the lock while the stack runs."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self.logs = self.path / "logs"
        self._lock: IO[str] | None = None

    def hold(self) -> None:
        """Creates the folder (for its owner only) and takes its lock.

        Raises:
            FolderInUse: another `textmill up` has it.
            StackError: the folder cannot be made or written, or others may write it or own it.
        """
        try:
            make_private(self.path)
            self.logs.mkdir(mode=0o700, exist_ok=True)
            self._lock = (self.path / _LOCK).open("w")
            (self.path / _LOCK).chmod(0o600)
        except ConfigurationError as error:
            raise StackError(str(error)) from error
        except OSError as error:
            raise StackError(f"cannot use the data folder {self.path}: {error.strerror}") from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.close()
            self._lock = None
            other = read_note(self.path)
            who = f" (pid {other.pid}, {other.url})" if other else ""
            raise FolderInUse(
                f"another `textmill up` runs on {self.path}{who}; "
                f"stop it, or give this one a folder of its own with --data"
            ) from error
        self._set_old_logs_aside()

    def announce(self, stack: RunningStack) -> None:
        """Tells other processes where the stack answers."""
        temporary = self.path / f"{_NOTE}.{os.getpid()}"
        temporary.write_text(json.dumps(asdict(stack)), encoding="utf-8")
        temporary.replace(self.path / _NOTE)

    def _set_old_logs_aside(self) -> None:
        """Each run writes new logs; those of the run before stay as `NAME.log.1`."""
        for log in self.logs.glob("*.log"):
            log.replace(log.with_name(f"{log.name}.1"))

    def let_go(self) -> None:
        """Withdraws the announcement and the lock."""
        (self.path / _NOTE).unlink(missing_ok=True)
        if self._lock is not None:
            self._lock.close()
            self._lock = None


def read_note(path: Path) -> RunningStack | None:
    """What the stack of that folder last said; None without one. It may be dead since."""
    try:
        return RunningStack(**json.loads((path / _NOTE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def running(path: Path) -> RunningStack | None:
    """The stack that runs on that folder now; None when its process is gone.

    A note that somebody else may have put there (in an unpacked archive, in a folder that
    others write) is not believed, nor one that names another host, nor one whose lock
    nobody holds: an archive can bring a note that names any process, but no lock.
    """
    note = read_note(path)
    if note is None or not is_own(path) or not is_own(path / _NOTE) or not _is_local(note.url):
        return None
    try:
        os.kill(note.pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # it runs as somebody else
    return note if is_own(path / _LOCK, rights=0o077) and is_held(path) else None


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_held(path: Path) -> bool:
    """Whether a `textmill up` has this folder, announced or not."""
    try:
        with (path / _LOCK).open("r") as lock:
            # Shared: two who look at once must not take each other for the stack.
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no folder, no lock, or none of ours to look at
        return False
    return False
