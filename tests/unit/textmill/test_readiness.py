from __future__ import annotations

from pathlib import Path

import httpx2
import pytest

from tests.support.fake_process import FakeProcess
from textmill.errors import StackError
from textmill.stack.child import Program
from textmill.stack.readiness import Readiness, checks_of
from textmill.stack.supervisor import Child


def child(tmp_path: Path, name: str, *, ended: int | None = None) -> Child:
    log = tmp_path / f"{name}.log"
    log.write_text("first line\nno torch here\n")
    program = Program(name=name, command=("true",))
    return Child(program=program, log=log, process=FakeProcess(1), started_at=0.0, ended_early=ended)


def readiness(answer: httpx2.Response | Exception, *children: Child, has_workers: bool = True) -> Readiness:
    def respond(request: httpx2.Request) -> httpx2.Response:
        if isinstance(answer, Exception):
            raise answer
        return (
            answer if request.url.path == ("/readyz" if has_workers else "/healthz") else httpx2.Response(404)
        )

    client = httpx2.Client(transport=httpx2.MockTransport(respond))
    return Readiness(
        "http://textmill.test", list(children), flower_url=None, has_workers=has_workers, client=client
    )


def test_the_stack_is_ready_when_the_api_says_so() -> None:
    assert readiness(httpx2.Response(200)).is_reached()


def test_without_workers_it_is_enough_that_the_api_lives() -> None:
    assert readiness(httpx2.Response(200), has_workers=False).is_reached()


def test_an_api_that_does_not_listen_yet_is_waited_for() -> None:
    waiting = readiness(httpx2.ConnectError("refused"))
    assert not waiting.is_reached()
    assert waiting.waiting_for() == "the API"


def test_what_is_missing_is_named_by_the_check_that_fails() -> None:
    checks = {"database": {"ok": True}, "workers": {"ok": False, "detail": "none"}}
    waiting = readiness(httpx2.Response(503, json={"checks": checks}))
    assert not waiting.is_reached()
    assert waiting.waiting_for() == "workers"


def test_a_child_that_gives_up_before_the_start_is_complete_ends_it_with_its_log(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"worker-cpu ended with exit code 2 .*\n.*\nno torch here"):
        readiness(httpx2.Response(503), child(tmp_path, "worker-cpu", ended=2)).is_reached()


def test_a_child_that_was_killed_may_come_back(tmp_path: Path) -> None:
    assert readiness(httpx2.Response(200), child(tmp_path, "worker-cpu", ended=-9)).is_reached()


def test_flower_never_keeps_the_stack_from_starting(tmp_path: Path) -> None:
    assert readiness(httpx2.Response(200), child(tmp_path, "flower", ended=1)).is_reached()


@pytest.mark.parametrize("answer", [httpx2.Response(503, text="busy"), httpx2.Response(503, json=["x"])])
def test_an_answer_of_another_shape_has_no_checks(answer: httpx2.Response) -> None:
    assert checks_of(answer) == []
