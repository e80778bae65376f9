from __future__ import annotations

import io
from pathlib import Path

import httpx2
import pytest
from rich.console import Console

from tests.support.fake_process import FakeProcess
from textmill.errors import StackError
from textmill.stack.child import Program
from textmill.stack.readiness import Readiness, checks_of, models_of
from textmill.stack.report import Report
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


MODELS = {
    "good": {"ok": True, "way": "continuous", "decoded_by": "textmill", "dtype": "bfloat16"},
    "slow": {"ok": True, "way": "one at a time", "why": "its mask is ignored"},
    "bad": {"ok": False, "error": "cannot_load", "message": "convert pytorch_model.bin"},
    "late": {"ok": False, "message": "no worker serves it now"},
}


def test_models_of_an_answer_say_which_way_or_why_not() -> None:
    models = {model.name: model for model in models_of(httpx2.Response(200, json={"models": MODELS}))}
    assert models["good"].text == "continuous, textmill, bfloat16"
    assert models["slow"].text == "one at a time: its mask is ignored"
    assert models["bad"].text == "convert pytorch_model.bin"
    assert [name for name, model in models.items() if model.is_served] == ["good", "slow"]
    assert [name for name, model in models.items() if model.has_failed] == ["bad"]
    assert models_of(httpx2.Response(503, text="busy")) == ()
    assert models_of(httpx2.Response(200, json={"models": ["x"]})) == ()


def test_h15_up_says_once_which_model_cannot_be_loaded_and_why() -> None:
    """H15: `up --model sentiment=nosuch/model` said "ready" and nothing else."""
    said = io.StringIO()
    report = Report(chatter=Console(file=said, width=200), answers=Console(file=io.StringIO()))
    waiting = readiness(httpx2.Response(503, json={"checks": {"worker": "no"}, "models": MODELS}))
    assert not waiting.is_reached()
    report.models([model for model in waiting.models if model.has_failed])
    assert "bad is not served: convert pytorch_model.bin" in said.getvalue()
    assert "late" not in said.getvalue()
    report.models(waiting.models)
    assert said.getvalue().count("bad is not served") == 1
    assert "late is not served: no worker serves it now" in said.getvalue()
    assert "good  continuous" in said.getvalue()
