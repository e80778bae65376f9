"""What `textmill up` promises when things are killed or stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import FAST_RECOVERY, Cli, only, running_stack
from tests.support.processes import children_of, processes_of
from tests.support.waiting import wait_until
from textmill.client import Textmill
from textmill.stack.background import BackgroundStack
from textmill.stack.child import child_environment, python

#: What ran when a worker died is computed again one by one, so this is a few seconds' work.
NUM_DOCUMENTS = 40


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackgroundStack]:
    """One that is broken here, and nowhere else; without Flower, whose port another may want at that moment."""
    flags = ["--no-flower", *only("generation", "sentiment")]
    with running_stack(tmp_path_factory.mktemp("up"), environment=FAST_RECOVERY, flags=flags) as running:
        yield running


def status_of(textmill: Cli, job_id: str) -> dict[str, object]:
    status: dict[str, object] = json.loads(textmill("status", job_id, "--json").stdout)
    return status


def test_a_worker_killed_in_the_middle_of_a_job_is_restarted_and_nothing_is_lost_or_doubled(
    stack: BackgroundStack, textmill: Cli
) -> None:
    workers = workers_of(stack)
    job_id = stopped_in_the_middle(stack, workers[0])
    os.kill(workers[0], signal.SIGKILL)

    done = textmill("results", job_id, "--follow")
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [result["seq"] for result in results] == list(range(NUM_DOCUMENTS))
    assert {result["status"] for result in results} == {"succeeded"}
    restarted = workers_of(stack)
    assert restarted
    assert restarted != workers


def workers_of(stack: BackgroundStack) -> list[int]:
    """Their process ids."""
    return [pid for pid, command in children_of(stack.pid).items() if "workers" in command.split()]


def stopped_in_the_middle(stack: BackgroundStack, worker: int) -> str:
    """A job that its worker, which stands still now, has not finished."""
    texts = [f"Chapter {number}." for number in range(NUM_DOCUMENTS)]
    with Textmill(stack.url) as client:
        for _ in range(10):
            job = client.submit(texts, task="generation", params={"max_new_tokens": 20})
            wait_until(lambda job=job: job.status().status != "queued", what="the job runs")  # type: ignore[misc]
            os.kill(worker, signal.SIGSTOP)
            if job.status().counts.settled < NUM_DOCUMENTS:
                return job.id
            os.kill(worker, signal.SIGCONT)
    raise AssertionError("every job was done before its worker could be stopped")


def test_a_killed_stack_leaves_no_orphan_and_the_next_one_finishes_its_job(tmp_path: Path) -> None:
    data = tmp_path / "data"
    flags = ("--device", "cpu", "--no-flower", *only("sentiment"))
    (tmp_path / "lines.txt").write_text("good\nbad\n" * 50)
    first = BackgroundStack(data, flags=flags, environment=FAST_RECOVERY)
    with first:
        textmill = Cli(first.url, tmp_path)
        job_id = textmill("submit", "lines.txt", "--task", "sentiment").stdout.strip()

        refused = subprocess.run(
            python("textmill", "up", "--port", "0", "--data", str(data)),
            env=child_environment({}),
            capture_output=True,
            text=True,
            check=False,
        )
        assert refused.returncode != 0
        assert f"pid {first.pid}" in refused.stderr

        os.kill(first.pid, signal.SIGKILL)
        wait_until(lambda: not processes_of(data), what="every child is gone")

    with BackgroundStack(data, flags=flags, environment=FAST_RECOVERY) as second:
        textmill = Cli(second.url, tmp_path)
        done = textmill("results", job_id, "--follow")
        assert done.returncode == 0, done.stderr
        assert len(done.stdout.splitlines()) == 100
        assert second.stop() == 0
    assert processes_of(data) == {}
    assert not (data / "up.json").exists()


def test_a_taken_port_is_named_before_anything_is_started(stack: BackgroundStack, tmp_path: Path) -> None:
    port = stack.url.rpartition(":")[2]
    refused = subprocess.run(
        python("textmill", "up", "--port", port, "--data", str(tmp_path / "other")),
        env=child_environment({}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode != 0
    assert f"port {port}" in refused.stderr
    assert not (tmp_path / "other").exists()


def test_a_job_submitted_while_redis_is_frozen_is_stored_and_runs_when_it_is_back(
    stack: BackgroundStack, textmill: Cli, tmp_path: Path
) -> None:
    (tmp_path / "lines.txt").write_text("good\nbad\n" * 20)
    (broker,) = [pid for pid, command in children_of(stack.pid).items() if "broker.sock" in command]
    os.kill(broker, signal.SIGSTOP)
    try:
        submitted = textmill("submit", "lines.txt", "--task", "sentiment")
        assert submitted.returncode == 0, submitted.stderr
        job_id = submitted.stdout.strip()
        assert status_of(textmill, job_id)["status"] == "queued"
    finally:
        os.kill(broker, signal.SIGCONT)
    done = textmill("results", job_id, "--follow")
    assert [json.loads(line)["status"] for line in done.stdout.splitlines()] == ["succeeded"] * 40


def test_a_killed_redis_is_restarted_and_the_running_job_finishes(
    stack: BackgroundStack, textmill: Cli, tmp_path: Path
) -> None:
    (tmp_path / "lines.txt").write_text("good\nbad\n" * 1500)
    job_id = textmill("submit", "lines.txt", "--task", "sentiment").stdout.strip()
    (broker,) = [pid for pid, command in children_of(stack.pid).items() if "broker.sock" in command]
    os.kill(broker, signal.SIGKILL)
    done = textmill("results", job_id, "--follow")
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["seq"] for line in done.stdout.splitlines()] == list(range(3000))
