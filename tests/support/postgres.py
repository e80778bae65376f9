"""A real PostgreSQL for the tests: one given, else one of our own on a unix socket."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def postgres_url() -> Iterator[str]:
    """The URL of a server we may create databases on; skips (in CI: fails) without one."""
    if given := os.environ.get("TEXTMILL_TEST_DATABASE_URL"):
        yield given
        return
    with own_postgres() as server:
        yield server.url


class PostgresServer:
    """A server of our own on a unix socket, which can be stopped and started again."""

    def __init__(self, binaries: Path, folder: Path) -> None:
        self._binaries = binaries
        self._folder = folder
        self._data = folder / "data"
        self.url = f"postgresql+psycopg://postgres@/postgres?host={folder}"

    def create(self) -> None:
        """Makes an empty cluster."""
        self._run("initdb", "-D", str(self._data), "-A", "trust", "-U", "postgres", "--no-sync")

    def start(self) -> None:
        """Starts it and waits until it answers."""
        options = f"-c listen_addresses='' -k {self._folder} -c fsync=off -c max_connections=100"
        log = str(self._folder / "log")
        self._run("pg_ctl", "-D", str(self._data), "-o", options, "-l", log, "-w", "start")

    def stop(self) -> None:
        """Ends it at once, as a crash would."""
        self._run("pg_ctl", "-D", str(self._data), "-m", "immediate", "-w", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        # The server refuses to run as root: then the package's own user runs it.
        as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        command = [*as_user, str(self._binaries / program), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=self._folder)


@contextmanager
def own_postgres() -> Iterator[PostgresServer]:
    """A running server of our own; skips (in CI: fails) where PostgreSQL is not installed."""
    folder = Path(tempfile.mkdtemp(prefix="tm-pg-"))
    server = PostgresServer(_binaries(), folder)
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path:
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    if versions:
        return versions[-1].parent
    missing = (
        "no PostgreSQL server found: install the package `postgresql`, or set TEXTMILL_TEST_DATABASE_URL"
    )
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)
