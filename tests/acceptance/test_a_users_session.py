"""What a user types, and what comes back."""

from __future__ import annotations

import csv
import json
import signal
import stat
from pathlib import Path

import httpx2
import pytest

from models.loading.device import prepare_device
from tests.acceptance.conftest import Cli
from tests.support.waiting import PATIENCE_SECONDS, wait_until
from textmill.client import Textmill
from textmill.stack.background import BackgroundStack

FOUR_TASKS = [
    {
        "custom_id": "r1",
        "task": "generation",
        "text": "I enjoy walking with my cute dog",
        "params": {"max_new_tokens": 8},
    },
    {"custom_id": "r2", "task": "translation", "text": "The weather is nice today."},
    {"custom_id": "r3", "task": "sentiment", "text": "A warm, funny, engaging film."},
    {"custom_id": "r4", "task": "qa", "text": "Who wrote it?", "context": "The report was written by Ada."},
]


def write_rows(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_file_of_all_four_tasks_comes_back_line_by_line(textmill: Cli, tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.jsonl", FOUR_TASKS)
    done = textmill("submit", "rows.jsonl", "--wait", "-o", "results.jsonl")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith("job_")
    assert "4 succeeded" in done.stderr
    results = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [(r["custom_id"], r["seq"], r["task"]) for r in results] == [
        (row["custom_id"], seq, row["task"]) for seq, row in enumerate(FOUR_TASKS)
    ]
    assert set(results[2]["output"]) >= {"label", "score", "scores"}
    answer = results[3]["output"]
    assert "The report was written by Ada."[answer["start"] : answer["end"]] == answer["answer"]


def test_one_document_is_run_and_printed(textmill: Cli) -> None:
    done = textmill("run", "A warm, funny, engaging film.", "--task", "sentiment")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] in {"POSITIVE", "NEGATIVE"}


def test_a_csv_goes_in_and_a_csv_comes_out(textmill: Cli, tmp_path: Path) -> None:
    (tmp_path / "reviews.csv").write_text('id,review\n1,"Lovely, really."\n2,"Dull\nand long"\n')
    flags = ("--task", "sentiment", "--text-column", "review", "--format", "csv", "-o", "out.csv")
    done = textmill("submit", "reviews.csv", *flags)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["seq"] for row in rows] == ["0", "1"]


def test_a_pipe_of_lines_streams_results_to_the_next_program(textmill: Cli) -> None:
    done = textmill("submit", "-", "--task", "sentiment", "-o", "-", stdin="good\nbad\nugly\n")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["seq"] for line in done.stdout.splitlines()] == [0, 1, 2]


def test_jobs_status_and_results_speak_of_the_same_job(textmill: Cli) -> None:
    job_id = textmill("submit", "-", "--task", "sentiment", "--wait", stdin="fine\n").stdout.strip()
    assert job_id in textmill("jobs").stdout
    assert json.loads(textmill("status", job_id, "--json").stdout)["counts"]["succeeded"] == 1
    (line,) = textmill("results", job_id).stdout.splitlines()
    assert json.loads(line)["status"] == "succeeded"


def test_models_and_doctor_describe_what_runs(textmill: Cli) -> None:
    models = json.loads(textmill("models", "--json").stdout)
    assert {model["task"] for model in models} == {"generation", "translation", "sentiment", "qa"}
    row = next(
        line for line in textmill("models").stdout.splitlines() if line.startswith("textmill-sentiment")
    )
    # It used to be float32 on every processor, for the model is small.
    assert ("bfloat16" if prepare_device("cpu").has_fast_bfloat16 else "float32") in row
    assert "cpu@" in row
    doctor = textmill("doctor")
    assert doctor.returncode == 0, doctor.stdout
    assert f"{textmill.url} is ready" in doctor.stdout


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('{"text": "fine"}\n{"text": oops}\n', "line 2"),
        ('{"text": "fine"}\n{"words": "none"}\n', "line 2"),
        ('{"text": "a", "task": "poetry"}\n', "poetry"),
        ('{"text": "a", "params": {"temprature": 1}}\n', "temprature"),
        ('{"text": "a", "params": {"top_k": -1}}\n', "top_k"),
        ('{"text": "a", "custom_id": "x"}\n{"text": "b", "custom_id": "x"}\n', "line 2"),
        ('{"text": "nul \\u0000 here"}\n', "line 1"),
        ('{"text": "half \\ud800 of a pair"}\n', "line 1"),
        ('{"text": ""}\n', "line 1"),
        ('{"text": "a", "model": "/etc"}\n', "/etc"),
        ("", ""),
        ('{"text": "' + "x" * 20_000_000 + '"}\n', ""),
    ],
    ids=[
        "bad-json",
        "no-text",
        "unknown-task",
        "unknown-parameter",
        "wrong-parameter",
        "same-id-twice",
        "nul",
        "lone-surrogate",
        "empty-text",
        "unknown-model",
        "empty-file",
        "huge-line",
    ],
)
def test_bad_input_is_named_and_nothing_is_stored(
    textmill: Cli, tmp_path: Path, text: str, complaint: str
) -> None:
    (tmp_path / "rows.jsonl").write_text(text)
    before = job_ids(textmill)
    done = textmill("submit", "rows.jsonl", "--task", "generation")
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert complaint in done.stderr
    assert job_ids(textmill) == before


def job_ids(textmill: Cli) -> list[str]:
    """Every job that is stored."""
    with Textmill(textmill.url) as client:
        return [job.id for job in client.jobs()]


def test_a_document_that_cannot_succeed_fails_alone_and_is_exit_code_1(textmill: Cli, tmp_path: Path) -> None:
    longest: dict[str, object] = {
        "text": "word " * 20_000,
        "task": "generation",
        "params": {"max_new_tokens": 4},
    }
    write_rows(tmp_path / "rows.jsonl", [longest, {"text": "short", "task": "sentiment"}])
    done = textmill("submit", "rows.jsonl", "-o", "out.jsonl")
    assert done.returncode == 1, done.stderr
    results = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [result["status"] for result in results] == ["failed", "succeeded"]
    assert results[0]["error"]["code"]


def test_no_server_is_exit_code_3(textmill: Cli) -> None:
    done = textmill("--url", "http://127.0.0.1:1", "jobs")
    assert done.returncode == 3
    assert "textmill up" in done.stderr


def test_ctrl_c_while_watching_leaves_the_job_running(textmill: Cli, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [
        {"text": f"Once upon a time {n}", "task": "generation", "params": {"max_new_tokens": 100}}
        for n in range(1500)
    ]
    write_rows(tmp_path / "rows.jsonl", rows)
    with textmill.start("submit", "rows.jsonl", "--wait") as process:
        assert process.stdout is not None
        job_id = process.stdout.readline().strip()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 130
    assert f"textmill cancel {job_id}" in err
    assert json.loads(textmill("status", job_id, "--json").stdout)["status"] in {"queued", "running"}
    assert textmill("cancel", job_id).returncode == 0
    status = wait_until(
        lambda: json.loads(textmill("status", job_id, "--json").stdout)["status"] == "cancelled",
        what="the job is cancelled",
    )
    assert status


def test_the_pages_whose_addresses_are_printed_answer(stack: BackgroundStack) -> None:
    assert stack.flower_url is not None
    for url in (f"{stack.url}/", f"{stack.url}/docs", f"{stack.flower_url}/workers"):
        assert (
            httpx2.get(url, trust_env=False, follow_redirects=True, timeout=PATIENCE_SECONDS).status_code
            == 200
        ), url


def test_nothing_of_a_running_stack_can_be_read_by_others(textmill: Cli, stack: BackgroundStack) -> None:
    """S5: the database, its log and Flower's file were 0644."""
    assert textmill("run", "A warm film.", "--task", "sentiment").returncode == 0
    data = stack.data
    files = {path: stat.S_IMODE(path.lstat().st_mode) for path in (data, *data.rglob("*"))}
    assert data / "textmill.db-wal" in files
    assert {str(path): oct(mode) for path, mode in files.items() if mode & 0o077} == {}


def test_no_log_holds_a_text(textmill: Cli, stack: BackgroundStack, tmp_path: Path) -> None:
    """S23: texts are in the database, which deletes them, and nowhere else."""
    marker = "Zettelkasten4711"
    rows = [{**row, "text": f"{marker} {row['text']}"} for row in FOUR_TASKS]
    rows.append({"custom_id": "long", "task": "generation", "text": f"{marker} " * 3000})
    done = textmill("submit", str(write_rows(tmp_path / "rows.jsonl", rows)), "--wait")
    assert "4 succeeded" in done.stderr
    refused = [
        {"text": marker, marker: 1},
        {"task": marker, "text": marker},
        {"text": 1, "params": {marker: marker}},
    ]
    assert textmill("submit", str(write_rows(tmp_path / "bad.jsonl", refused)), "-t", "qa").returncode == 2
    logs = {path.name: path.read_text(errors="replace") for path in (stack.data / "logs").iterdir()}
    assert {"api.log", "worker-cpu.log", "broker.log"} <= set(logs)
    assert [name for name, text in logs.items() if marker in text] == []
