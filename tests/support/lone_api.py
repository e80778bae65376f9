"""The API as a process of its own, without workers or Redis, to be treated badly over real sockets."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2

from tests.support.new_ledger import new_ledger
from tests.support.waiting import PATIENCE_SECONDS, wait_until

HERE = Path(__file__).parents[2]
#: Another checkout may be put under the same tests: TEXTMILL_TEST_ROOT names it.
ROOT = Path(os.environ.get("TEXTMILL_TEST_ROOT", HERE))
MODELS = "generation=noop:g translation=noop:t sentiment=noop:s qa=noop:q"


class LoneApi:
    """Started by `with`; its log is kept.

    Args:
        folder: For data and log.
        descriptors: How many file descriptors the process may have.
        **settings: By their names in `Settings`.
    """

    def __init__(self, folder: Path, *, descriptors: int | None = None, **settings: object) -> None:
        self._folder = folder
        self._descriptors = descriptors
        self._settings = {f"TEXTMILL_{name.upper()}": str(value) for name, value in settings.items()}
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = folder / "api.log"
        self._opened: list[socket.socket] = []

    @property
    def log(self) -> str:
        """What it has said."""
        return self._log.read_text(errors="replace")

    @property
    def log_bytes(self) -> int:
        """How much it has said; read without reading it."""
        return self._log.stat().st_size

    def get(self, path: str, *, timeout_seconds: float = PATIENCE_SECONDS) -> httpx2.Response:
        """Another client, with a connection of its own."""
        return httpx2.get(f"{self.url}{path}", timeout=timeout_seconds, trust_env=False)

    def submit(self) -> str:
        """A job that nobody works on; its id."""
        answer = httpx2.post(
            f"{self.url}/v1/jobs",
            json={"task": "sentiment", "text": "a"},
            timeout=PATIENCE_SECONDS,
            trust_env=False,
        )
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def connect(self, data: bytes = b"") -> socket.socket:
        """A raw connection that has sent this; closed at the end of the test."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS)
        self._opened.append(connection)
        connection.sendall(data)
        return connection

    def disconnect(self) -> None:
        """Every raw connection leaves."""
        while self._opened:
            self._opened.pop().close()

    def kill(self) -> None:
        """As a crash would."""
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> Self:
        environment = {
            **os.environ,
            "TEXTMILL_DATA": str(self._folder / "data"),
            "TEXTMILL_REDIS_URL": "memory://",
            "TEXTMILL_MODELS": MODELS,
            "TEXTMILL_CONFIG": str(self._folder / "none.toml"),
            **self._settings,
        }
        self._migrate(environment)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "api", "--port", str(self.port)],
                cwd=ROOT, env=environment, stdout=log, stderr=log, preexec_fn=self._limit,
            )  # fmt: skip
        wait_until(self._answers, what="the API answers")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.disconnect()
        self.kill()  # in order it would give each stream ten seconds

    def _migrate(self, environment: dict[str, str]) -> None:
        if ROOT == HERE:
            data = self._folder / "data"
            data.mkdir(mode=0o700, exist_ok=True)
            new_ledger(data / "textmill.db")
            return
        subprocess.run(
            [sys.executable, "-m", "jobs.migrate"], cwd=ROOT, env=environment, check=True, capture_output=True
        )

    def _limit(self) -> None:
        if self._descriptors is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (self._descriptors, self._descriptors))

    def _answers(self) -> bool:
        assert self._process.poll() is None, self.log
        try:
            return self.get("/healthz", timeout_seconds=5).status_code == 200
        except httpx2.TransportError:
            return False
