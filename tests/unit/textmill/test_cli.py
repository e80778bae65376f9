from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.support.fake_server import FAKE_MODEL, FakeJob, FakeServer, problem
from tests.unit.textmill.conftest import Run, settle_all
from textmill.client import Textmill


def test_submit_prints_the_id_and_nothing_else_on_stdout(
    run: Run, server: FakeServer, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("submit", str(rows), "--task", "sentiment") == 0
    output = capsys.readouterr()
    assert output.out.strip() in server.jobs
    assert "--watch" in output.err


def test_submit_and_wait_ends_with_a_summary(
    run: Run, server: FakeServer, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.on_poll = settle_all
    assert run("submit", str(rows), "--wait") == 0
    assert "completed: 2 succeeded in 8.0 s (0.25 documents/s); 6 tokens in, 0 out" in capsys.readouterr().err


def test_some_failed_documents_are_exit_code_1(run: Run, server: FakeServer, rows: Path) -> None:
    def settle(job: FakeJob) -> None:
        job.settle(0)
        job.settle(1, status="failed")

    server.on_poll = settle
    assert run("submit", str(rows), "--wait") == 1


def test_submit_to_a_file_writes_every_result_and_leaves_no_partial_file(
    run: Run, server: FakeServer, rows: Path, tmp_path: Path
) -> None:
    server.on_poll = settle_all
    assert run("submit", str(rows), "-o", "out.jsonl") == 0
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line)["custom_id"] for line in lines] == ["first", "1"]
    assert not (tmp_path / "out.jsonl.part").exists()


def test_results_on_stdout_come_without_the_id_between(
    run: Run, server: FakeServer, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.on_poll = settle_all
    assert run("submit", str(rows), "-o", "-") == 0
    assert [json.loads(line)["seq"] for line in capsys.readouterr().out.splitlines()] == [0, 1]


def test_csv_results_are_the_servers(run: Run, server: FakeServer, rows: Path, tmp_path: Path) -> None:
    server.on_poll = settle_all
    assert run("submit", str(rows), "-o", "out.csv", "--format", "csv") == 0
    assert (tmp_path / "out.csv").read_bytes() == b"custom_id,label\r\nfirst,POSITIVE\r\n1,POSITIVE\r\n"


@pytest.mark.parametrize(
    ("text", "flags", "content_type"),
    [
        ('{"text": "a"}\n', [], "application/x-ndjson"),
        ("text,id\nhello,1\n", [], "text/csv"),
        ("review\nhello\n", ["--text-column", "review"], "text/csv"),
        ("just a line\n", [], "text/plain; charset=utf-8"),
        ('{"not": "a row"}\n', ["--input-format", "txt"], "text/plain; charset=utf-8"),
    ],
)
def test_stdin_is_sent_as_what_it_looks_like(
    run: Run,
    server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    flags: list[str],
    content_type: str,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert run("submit", "-", *flags) == 0
    assert server.requests[0].headers["Content-Type"] == content_type
    assert server.requests[0].content == text.encode()


def test_bad_rows_are_printed_by_line_and_are_exit_code_2(
    run: Run, server: FakeServer, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    errors = [{"line": n, "field": "text", "message": "missing"} for n in range(1, 31)]
    server.trouble = [problem(422, "Invalid rows", "30 problem(s) in the input rows", errors=errors)]
    assert run("submit", str(rows)) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert "30 problem(s)" in output.err
    assert "line 1  text  missing" in output.err
    assert "and 10 more" in output.err


def test_no_server_is_exit_code_3_with_a_hint(
    run: Run, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.trouble = [httpx2.ConnectError("refused") for _ in range(50)]
    assert run("jobs") == 3
    assert "textmill up" in capsys.readouterr().err


def test_a_server_that_stays_unavailable_is_exit_code_3(run: Run, server: FakeServer) -> None:
    server.trouble = [problem(503, "Unavailable", "no database") for _ in range(200)]
    assert run("jobs") == 3


@pytest.mark.parametrize(
    "arguments",
    [
        ["submit", "missing.jsonl"],
        ["submit"],
        ["submit", "rows.jsonl", "--format", "xml"],
        ["submit", "rows.jsonl", "--param", "temperature"],
        ["submit", "rows.jsonl", "-p", "stop=a", "-p", "stop=b"],
        ["status", "job_unknown"],
        ["nonsense"],
        ["up", "--workers", "many"],
        ["up", "--model", "poetry=gpt2"],
        ["up", "--dtype", "float7"],
    ],
)
def test_wrong_usage_is_exit_code_2(run: Run, rows: Path, arguments: list[str]) -> None:
    assert run(*arguments) == 2


@pytest.mark.parametrize("job", ["", " ", "/", "..", "a/b", "x?y", "a b", "%2e%2e", "\u00e9", "#"])
@pytest.mark.parametrize("command", ["status", "results", "cancel", "retry"])
def test_what_is_no_jobs_id_is_said_and_reaches_no_other_address(
    command: str, job: str, run: Run, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    """A relative of H19: an empty id was a traceback, and `x?y` a question of another kind."""
    assert run(command, job) == 2
    assert "job" in capsys.readouterr().err
    for request in server.requests:
        assert request.url.path == "/v1/jobs"
        assert request.url.params["name"] == job


def test_parameters_are_read_as_json_where_they_are(run: Run, server: FakeServer, rows: Path) -> None:
    flags = ["-p", "temperature=0.7", "-p", "do_sample=True", "-p", 'stop=["x"]', "-p", "target_language=de"]
    assert run("submit", str(rows), *flags) == 0
    assert json.loads(server.requests[0].url.params["params"]) == {
        "temperature": 0.7,
        "do_sample": True,
        "stop": ["x"],
        "target_language": "de",
    }


def test_run_prints_the_output_alone(
    run: Run, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.on_poll = settle_all
    assert run("run", "lovely", "--task", "sentiment") == 0
    assert capsys.readouterr().out == "POSITIVE 0.980\n"


def test_run_of_a_document_that_fails_says_why(
    run: Run, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.on_poll = lambda job: job.settle(0, status="failed")
    assert run("run", "lovely", "--task", "sentiment") == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert "0 (document 0): bad: it is" in output.err


@pytest.mark.parametrize("command", ["status", "cancel", "retry"])
def test_json_output_is_one_value(
    run: Run, server: FakeServer, rows: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    run("submit", str(rows))
    job_id = capsys.readouterr().out.strip()
    run(command, job_id, "--json")
    assert json.loads(capsys.readouterr().out)["id"] == job_id


def test_delete_removes_a_finished_job_and_no_other(
    run: Run, server: FakeServer, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("submit", str(rows))
    job_id = capsys.readouterr().out.strip()
    assert run("delete", job_id) != 0
    assert "Cancel it first" in capsys.readouterr().err
    run("cancel", job_id)
    assert run("delete", job_id) == 0
    assert f"deleted {job_id}" in capsys.readouterr().err
    assert not server.jobs


def test_json_output_keeps_every_digit(
    run: Run, server: FakeServer, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """W21."""
    run("submit", str(rows))
    job_id = capsys.readouterr().out.strip()
    server.jobs[job_id].query["metadata"] = '{"id": 123456789012345678901}'
    run("status", job_id, "--json")
    assert json.loads(capsys.readouterr().out)["metadata"] == {"id": 123456789012345678901}
    run("jobs", "--json")
    assert "123456789012345678901" in capsys.readouterr().out


def test_jobs_are_asked_for_by_status_task_and_model(run: Run, server: FakeServer) -> None:
    """W26."""
    assert run("jobs", "--status", "running", "--task", "qa", "--model", "reader") == 0
    asked = server.requests[-1].url.params
    assert (asked["status"], asked["task"], asked["model"]) == ("running", "qa", "reader")


def test_status_in_words(
    run: Run, server: FakeServer, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("submit", str(rows), "--task", "sentiment")
    job_id = capsys.readouterr().out.strip()
    server.jobs[job_id].settle(0)
    assert run("status", job_id) == 0
    assert "running: 1 of 2 (50%), 12.5 documents/s, 7.0 s left" in capsys.readouterr().out


def test_a_list_of_jobs_never_cuts_an_id(
    run: Run,
    server: FakeServer,
    rows: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    run("submit", str(rows))
    job_id = capsys.readouterr().out.strip()
    assert run("jobs") == 0
    assert job_id in capsys.readouterr().out


def test_results_of_a_running_job_leave_a_partial_file_and_say_so(
    run: Run, server: FakeServer, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("submit", str(rows))
    job_id = capsys.readouterr().out.strip()
    server.jobs[job_id].settle(0)
    assert run("results", job_id, "-o", "out.jsonl") == 0
    assert not (tmp_path / "out.jsonl").exists()
    assert len((tmp_path / "out.jsonl.part").read_text().splitlines()) == 1
    assert "--follow" in capsys.readouterr().err


def test_an_interrupted_download_leaves_no_file_and_says_how_to_go_on(
    run: Run, server: FakeServer, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("submit", str(rows))
    job_id = capsys.readouterr().out.strip()

    def interrupt(job: FakeJob) -> None:
        raise KeyboardInterrupt

    server.on_poll = interrupt
    assert run("results", job_id, "--follow", "-o", "out.jsonl") == 130
    assert list(tmp_path.glob("out*")) == []
    assert f"textmill status {job_id} --watch" in capsys.readouterr().err


def test_ctrl_c_while_watching_leaves_the_job_alone(
    run: Run, server: FakeServer, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(job: FakeJob) -> None:
        raise KeyboardInterrupt

    server.on_poll = interrupt
    assert run("submit", str(rows), "--wait") == 130
    output = capsys.readouterr()
    assert f"textmill cancel {output.out.strip()}" in output.err
    assert not any(request.url.path.endswith("/cancel") for request in server.requests)


def test_models_are_listed(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("models") == 0
    row = capsys.readouterr().out.splitlines()[1].split()
    assert row == ["fake", "sentiment", "yes", "22.7", "M", "float32", "cpu@here"]


def test_models_say_which_way_and_why_and_which_cannot_be_loaded(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = {"way": "batches of equal length", "why": "padding is not neutral", "dtype": "float32"}
    slow = {**FAKE_MODEL, "id": "slow", "facts": facts}
    broken = {"error": "cannot_load", "message": "convert pytorch_model.bin"}
    bad: dict[str, Any] = {**FAKE_MODEL, "id": "bad", "facts": broken, "workers": []}
    monkeypatch.setattr(Textmill, "models", lambda self: [slow, bad])
    assert run("models") == 0
    shown = capsys.readouterr().out
    assert "batches of equal length" in shown
    assert "slow: padding is not neutral" in shown
    assert "cannot be loaded" in shown
    assert "bad: convert pytorch_model.bin" in shown
