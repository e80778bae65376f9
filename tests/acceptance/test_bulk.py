"""Large submissions: every row comes back once and in order, and memory stays flat."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import children_of
from textmill.client import Textmill
from textmill.stack.background import BackgroundStack

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

NOOP = [f"--model={task}=noop:{task}" for task in ("generation", "translation", "qa")]
MEBIBYTE = 1 << 20


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[BackgroundStack]:
    flags = ["--device", "cpu", "--workers", "1", "--no-flower", *NOOP]
    with (
        (tmp_path / "up.log").open("wb") as log,
        BackgroundStack(tmp_path / "data", flags=flags, output=log) as running,
    ):
        yield running


def test_100_000_short_texts_come_back_in_order_from_a_real_model(
    stack: BackgroundStack, tmp_path: Path
) -> None:
    count = 100_000
    moods = ("Lovely, would buy again", "Broke on the first day", "Does what it says", "Never again")
    with (tmp_path / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["custom_id", "text"])
        writer.writerows((f"row-{n}", f"{moods[n % 4]} ({n}).") for n in range(count))
    with Textmill(stack.url) as server:
        job = server.submit(tmp_path / "rows.csv", task="sentiment").wait()
        for expected, line in enumerate(job.result_lines()):
            result = json.loads(line)
            assert (result["seq"], result["custom_id"]) == (expected, f"row-{expected}")
            assert result["status"] == "succeeded"
        assert expected == count - 1
        counts = job.status().raw["counts"]
    assert (counts["total"], counts["succeeded"]) == (count, count)


def test_a_body_of_1_gb_raises_the_apis_memory_by_less_than_200_mb(
    stack: BackgroundStack, tmp_path: Path
) -> None:
    text = "A long review that goes on and on about the sofa. " * 400  # 20 kB
    line = json.dumps({"text": text, "task": "generation"}) + "\n"
    with (tmp_path / "large.jsonl").open("w") as file:
        for _ in range(1_000_000_000 // len(line) + 1):
            file.write(line)
    (api,) = [pid for pid, command in children_of(stack.pid).items() if " api " in f" {command} "]
    before_bytes = peak_bytes(api)
    with Textmill(stack.url) as server:
        job = server.submit(tmp_path / "large.jsonl")
        assert job.status().raw["counts"]["total"] > 49_000
        job.cancel()
    assert peak_bytes(api) - before_bytes < 200 * MEBIBYTE


def peak_bytes(pid: int) -> int:
    """The most memory the process has held so far (Linux)."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found.group(1)) * 1024
