"""Textmill's processes one by one, so that a test can kill, freeze and cut each of them.

Unlike `textmill up` nothing restarts what dies: the test does, when it wants to.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2
import redis

from jobs.redis_url import client_url
from tests.support.waiting import wait_until
from textmill.client import Textmill
from textmill.stack.broker import EmbeddedBroker
from textmill.stack.child import child_environment, tie_to_parent
from textmill.stack.ports import any_free
from textmill.stack.server_binary import find_server

LEASE_SECONDS = 3.0
HERE = Path(__file__).parents[2]  #: the release that is tested
_SETTINGS = {
    "TEXTMILL_LEASE_SECONDS": str(LEASE_SECONDS),
    "TEXTMILL_SWEEP_SECONDS": "0.5",
    "TEXTMILL_RESEND_SECONDS": "3",
    "TEXTMILL_GRACE_SECONDS": "3",
    "TEXTMILL_SLICE_DOCUMENTS": "64",
    "TEXTMILL_CONCURRENCY": "4",
    "TEXTMILL_STEP_LIMIT_SECONDS": "5",
    "TEXTMILL_MODELS": "generation=noop:g translation=noop:t sentiment=noop:s qa=noop:q",
    "TEXTMILL_FAULT_PACE_SECONDS": "0.002",
}


class Cluster:
    """Broker, API and workers on one data folder."""

    def __init__(
        self,
        folder: Path,
        *,
        workers: int = 2,
        database_url: str | None = None,
        release: Path | None = None,
        **settings: str,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.database_url = database_url or f"sqlite:///{folder / 'textmill.db'}"
        self.port = any_free("127.0.0.1")
        self.broker = EmbeddedBroker(folder, find_server())
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        #: The folder whose code programs run from now on; they find it first because it is theirs (no -P).
        self.release = release or HERE
        self.num_mended = 0  #: workers that ended by themselves and were started again
        self._worker_names = [f"w{number}" for number in range(workers)]
        self._environment = {
            **_SETTINGS,
            "TEXTMILL_DATA": str(folder),
            "TEXTMILL_DATABASE_URL": self.database_url,
            "TEXTMILL_REDIS_URL": self.broker.address.celery_url,
            "TEXTMILL_CONFIG": str(folder / "none.toml"),
            **settings,
        }
        self._lock = threading.Lock()

    def reach_redis_through(self, url: str) -> None:
        """Has the API and the workers use another way to the broker; call it before the start."""
        self._environment["TEXTMILL_REDIS_URL"] = url

    @property
    def url(self) -> str:
        """Where the API answers."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def workers(self) -> list[str]:
        """Names of the workers."""
        return list(self._worker_names)

    def __enter__(self) -> Self:
        self.start_broker()
        self.migrate()
        self.start_api()
        for name in self._worker_names:
            self.start_worker(name)
        self.wait_ready()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for name in list(self.processes):
            self.kill(name)
        if error is not None:
            for log in sorted(self.folder.glob("*.log")):
                sys.stderr.write(f"--- {log.name}\n{log.read_text(errors='replace')[-3000:]}\n")

    # Starting.

    def start_broker(self) -> None:
        """Starts it, on the append-only file it may have left, and waits until it answers."""
        self.broker.prepare()
        self._start("broker", self.broker.program().command)
        wait_until(self.broker.answers, timeout_seconds=20, what="the broker answers")

    def migrate(self) -> None:
        """Brings the database to the schema of the release that is in force."""
        subprocess.run((sys.executable, "-m", "jobs.migrate"), env=child_environment(self._environment),
                       check=True, capture_output=True, cwd=self.release)  # fmt: skip

    def start_api(self) -> None:
        """Starts the API and waits until it answers."""
        self._start("api", (sys.executable, "-m", "api", "--port", str(self.port)))
        wait_until(self.is_alive, timeout_seconds=30, what="the API answers")

    def start_worker(self, name: str) -> None:
        """Starts a worker; it takes a few seconds until it works."""
        command = (sys.executable, "-m", "tests.support.fault_worker", "--device", "cpu", "--name", name)
        self._start(name, command)

    def wait_ready(self) -> None:
        """Waits until everything is up: the processes of now, whatever signs dead ones have left."""

        def has_started(name: str) -> bool:
            log = (self.folder / f"{name}.log").read_text(errors="replace")
            return f"-{self.processes[name].pid} serves " in log

        wait_until(
            lambda: all(map(has_started, self._worker_names)) and self.is_ready(),
            timeout_seconds=60,
            what="all workers have started",
            poll_seconds=0.2,
        )

    # Breaking.

    def kill(self, name: str, signal_number: signal.Signals = signal.SIGKILL) -> int:
        """Ends a process with a signal, and returns its exit code once it is gone."""
        process = self.processes.pop(name)
        if signal_number is not signal.SIGKILL:
            process.send_signal(signal.SIGCONT)  # a frozen one must be able to die of it
        process.send_signal(signal_number)
        return process.wait(30)

    def freeze(self, name: str) -> None:
        """Stops a process where it is; returns once the last of its threads stands still."""
        process = self.processes[name]
        process.send_signal(signal.SIGSTOP)
        # Or it has ended meanwhile; either way whoever waits for its exit code still gets it.
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def thaw(self, name: str) -> None:
        """Lets it go on."""
        self.processes[name].send_signal(signal.SIGCONT)

    def has_ended(self, name: str) -> bool:
        """Whether it ended by itself."""
        return self.processes[name].poll() is not None

    def mend(self) -> list[str]:
        """Starts the workers again that ended by themselves; returns their names."""
        ended = [name for name in self._worker_names if name not in self.processes or self.has_ended(name)]
        for name in ended:
            self.start_worker(name)
        self.num_mended += len(ended)
        return ended

    # Looking.

    def client(self) -> Textmill:
        """A client with patience."""
        return Textmill(self.url)

    def redis(self) -> redis.Redis:
        """The broker's own client."""
        return redis.Redis.from_url(client_url(self.broker.address.celery_url), socket_timeout=5)

    def is_alive(self) -> bool:
        """Whether the API answers."""
        return self._answers("/healthz")

    def is_ready(self) -> bool:
        """Whether the API says that work can be done."""
        return self._answers("/readyz")

    def _answers(self, path: str) -> bool:
        try:
            return httpx2.get(f"{self.url}{path}", trust_env=False, timeout=5).status_code == 200
        except httpx2.TransportError:
            return False

    def _start(self, name: str, command: tuple[str, ...], extra: Mapping[str, str] | None = None) -> None:
        with self._lock, (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                command,
                env=child_environment({**self._environment, **(extra or {})}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd=self.release,
                preexec_fn=tie_to_parent(signal.SIGKILL),
            )
        assert os.getpgid(self.processes[name].pid) == self.processes[name].pid
