from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.fake_server import FakeJob, FakeServer
from textmill.cli import main
from textmill.client import Textmill
from textmill.commands.server import Server

Run = Callable[..., int]


def settle_all(job: FakeJob) -> None:
    job.settle(*range(len(job.rows)))


@pytest.fixture(autouse=True)
def _at_home_nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Logins of whoever runs the tests have nothing to do with them."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def rests() -> list[float]:
    """Every pause the client made, in seconds; none really happens."""
    return []


@pytest.fixture
def client(server: FakeServer, rests: list[float]) -> Iterator[Textmill]:
    with Textmill("http://textmill.test", "key-1", transport=server.transport, sleep=rests.append) as client:
        yield client


@pytest.fixture
def run(server: FakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs the command line against the fake server and gives its exit code."""

    def connect(self: Server) -> Textmill:
        ticks = [0.0]

        def rest(seconds: float) -> None:
            ticks[0] += seconds

        return Textmill(transport=server.transport, sleep=rest, clock=lambda: ticks[0])

    monkeypatch.setattr(Server, "connect", connect)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["textmill", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code if isinstance(ended.value.code, int) else 0

    return run


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a", "custom_id": "first"}\n{"text": "b"}\n')
    return path
