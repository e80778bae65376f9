"""S10, S5: what others may have put into a data folder is not run, and not taken for ours."""

from __future__ import annotations

import dbm.dumb
import shelve
import socket
import subprocess
from pathlib import Path

import pytest

from tests.support.waiting import PATIENCE_SECONDS, wait_until
from textmill.stack import flower
from textmill.stack.child import Program, child_environment, python, spawn
from textmill.stack.ports import any_free

SETTINGS = {"TEXTMILL_REDIS_URL": "memory://", "TEXTMILL_MODELS": "sentiment=noop:s"}
PROGRAMS = {
    "api": python("api", "--port", "0"),
    "workers": python("workers", "--device", "cpu"),
    "jobs.migrate": python("jobs.migrate"),
    "jobs.backup": python("jobs.backup", "save", "saved"),
    "up": python("textmill", "up", "--port", "0", "--no-flower"),
}


class _Runs:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self._path,)


def test_s10_what_lies_in_the_folder_is_not_run_by_flower(tmp_path: Path) -> None:
    """S10: Flower read its history there as a pickle, and whoever had put it there ran code as the owner."""
    ran = tmp_path / "ran"
    with shelve.Shelf(dbm.dumb.open(str(tmp_path / "flower"), "c")) as history:
        history["events"] = _Runs(ran)
    assert not ran.exists()
    port = any_free("127.0.0.1")
    program: Program = flower.program(tmp_path, port=port, environment=SETTINGS)
    process = spawn(program, tmp_path / "flower.log")
    try:
        wait_until(lambda: _listens(port) or process.poll() is not None, what="Flower answers")
        assert process.poll() is None, (tmp_path / "flower.log").read_text()
        assert not ran.exists()
    finally:
        process.send_signal(9)
        wait_until(lambda: process.poll() is not None, what="Flower ended")


@pytest.mark.parametrize("name", sorted(PROGRAMS))
def test_s10_every_program_refuses_a_folder_that_others_may_write(tmp_path: Path, name: str) -> None:
    """S10, S5: no program looked whose folder it was; later `up` alone did."""
    data = tmp_path / "data"
    data.mkdir()
    data.chmod(0o777)
    ran = subprocess.run(
        PROGRAMS[name],
        env=child_environment({**SETTINGS, "TEXTMILL_DATA": str(data)}),
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    assert ran.returncode != 0
    assert "somebody else" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert list(data.iterdir()) == [], "something was written there"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
