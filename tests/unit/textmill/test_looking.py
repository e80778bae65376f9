"""Looking at a server from a shell: its workers, its logs, its console."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

from tests.support.fake_server import FakeServer
from tests.unit.textmill.conftest import Run
from textmill.log_files import LogFiles

WORKER = {
    "id": "cpu@here-1", "device": "cpu", "state": "well", "models": ["a", "b"], "warm_models": ["a"], "loop_age_seconds": 0.1,
    "age_seconds": 1.0,
}  # fmt: skip


def test_workers_are_listed_with_what_they_have_loaded(
    run: Run, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.workers = [WORKER, WORKER | {"id": "cpu@here-2", "state": "stuck"}]
    assert run("workers") == 0
    first, second = capsys.readouterr().out.splitlines()[1:]
    assert first.split() == ["cpu@here-1", "cpu", "well", "a", "a,", "b"]
    assert second.split()[:3] == ["cpu@here-2", "cpu", "stuck"]
    assert run("workers", "--json") == 0
    assert json.loads(capsys.readouterr().out) == server.workers


def test_that_no_worker_is_there_is_said_with_what_starts_one(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("workers") == 0
    assert "`textmill worker` starts one" in capsys.readouterr().err


def test_the_consoles_address_is_printed_for_a_job_too(
    run: Run, rows: Path, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    run("submit", str(rows), "--name", "nightly")
    capsys.readouterr()
    assert run("open", "nightly", "--print") == 0
    assert capsys.readouterr().out.strip() == f"http://127.0.0.1:8000/console/jobs/{next(iter(server.jobs))}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    logs = tmp_path / ".textmill" / "logs"
    logs.mkdir(parents=True)
    (logs / "api.log").write_text("one\ntwo\nthree\n")
    (logs / "worker-cpu.log").write_bytes(b"gr\xfc\xdfe\nhalf a li")
    (logs / "api.log.1").write_text("of the run before\n")
    return logs


def test_logs_are_the_last_lines_of_each_part(
    run: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("logs", "-n", "2") == 0
    assert capsys.readouterr().out.splitlines() == [
        "api | two",
        "api | three",
        "worker-cpu | gr\ufffd\ufffde",
    ]
    assert run("logs", "api", "-n", "1") == 0
    assert capsys.readouterr().out == "api | three\n"


def test_a_log_that_is_not_there_is_said_with_those_that_are(
    run: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("logs", "worker") == 2
    assert "there are api, worker-cpu" in capsys.readouterr().err


def test_without_a_stack_the_command_that_writes_logs_is_named(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("logs") == 2
    assert "`textmill up` writes them" in capsys.readouterr().err


def test_following_goes_on_with_whole_lines_and_with_a_log_that_begins_anew(folder: Path) -> None:
    files = LogFiles(folder, None)
    assert list(files.last(0)) == []
    looks = 0

    def look_again(_seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            with (folder / "worker-cpu.log").open("a") as log:
                log.write("ne\n")
        elif looks == 2:
            (folder / "api.log").replace(folder / "api.log.1")
        elif looks == 3:
            (folder / "api.log").write_text("new run\n")
        assert looks < 10

    assert list(islice(files.following(look_again), 2)) == [("worker-cpu", "half a line"), ("api", "new run")]
