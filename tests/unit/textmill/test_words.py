from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.support.fake_server import FakeJob
from textmill.errors import UnwritableOutput
from textmill.sniffing import sniff
from textmill.terminal import words
from textmill.terminal.files import Output
from textmill.terminal.progress import BarProgress, PlainProgress, progress_on
from textmill.views import JobView, Result


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.0004, "0 ms"),
        (0.85, "850 ms"),
        (3.14, "3.1 s"),
        (59, "59 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (100_000, "1 d 3 h"),
    ],
)
def test_durations_are_as_long_as_they_need_to_be(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


@pytest.mark.parametrize(
    ("per_second", "text"),
    [(None, ""), (0.251, "0.25 documents/s"), (12.34, "12.3 documents/s"), (3456.7, "3,457 documents/s")],
)
def test_rates_show_the_digits_that_mean_something(per_second: float | None, text: str) -> None:
    assert words.rate(per_second) == text


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ({"text": "Das Wetter"}, "Das Wetter"),
        ({"answer": "Ada", "score": 0.9}, "Ada"),
        ({"label": "NEGATIVE", "score": 0.75}, "NEGATIVE 0.750"),
    ],
)
def test_an_output_reads_as_its_task_wants(output: Mapping[str, Any], text: str) -> None:
    line = {"custom_id": "1", "seq": 0, "status": "succeeded", "task": "qa", "model": "m", "output": output}
    assert words.output_of(Result.parse(line)) == text


def job(settled: int, total: int, *, failed: int = 0) -> JobView:
    fake = FakeJob("job_1", [{"text": "a"}] * total, {})
    fake.settle(*range(settled - failed))
    if failed:
        fake.settle(*range(settled - failed, settled), status="failed")
    return JobView.parse(fake.body())


def test_off_a_terminal_progress_is_a_plain_line_and_not_one_for_every_change() -> None:
    stream = io.StringIO()
    with progress_on(Console(file=stream, width=200)) as progress:
        assert isinstance(progress, PlainProgress)
        for settled in (1, 2, 3):
            progress.show(job(settled, 4))
    assert stream.getvalue() == "job_1 running: 1 of 4 (25%), 12.5 documents/s, 7.0 s left\n"


def test_on_a_terminal_progress_is_a_bar_with_rate_failures_and_time_left() -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=160)
    with progress_on(console) as progress:
        assert isinstance(progress, BarProgress)
        progress.show(job(3, 4, failed=1))
    shown = stream.getvalue()
    assert all(part in shown for part in ("3/4", "75%", "12.5 documents/s", "7.0 s left", "1 failed"))


def test_a_summary_counts_what_did_not_succeed() -> None:
    assert words.summary(job(4, 4, failed=1)).startswith("job_1 completed: 3 succeeded, 1 failed in 8.0 s")


@pytest.mark.parametrize(
    ("head", "form"),
    [
        (b'\xef\xbb\xbf{"text": "a"}', "json"),
        (b'  \n{"text": "a"}', "json"),
        (b"id,text\n1,a\n", "csv"),
        (b'"text"\nhello\n', "csv"),
        (b"some text, with a comma\n", "txt"),
        (b"", "txt"),
    ],
)
def test_a_nameless_input_is_told_by_how_it_begins(head: bytes, form: str) -> None:
    assert sniff(head) == form


def test_an_output_file_has_its_name_only_once_it_is_finished(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("old")
    with Output(str(target)) as output:
        output.stream.write(b"new")
        output.finish()
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert not output.partial_path.exists()


def test_an_output_file_that_fails_half_way_leaves_the_old_one_alone(tmp_path: Path) -> None:
    target = tmp_path / "out.jsonl"
    target.write_text("old")
    with pytest.raises(TypeError), Output(str(target)) as output:
        output.stream.writelines([b"new", None])  # type: ignore[list-item]
    assert [path.name for path in tmp_path.iterdir()] == ["out.jsonl"]
    assert target.read_text() == "old"


def test_an_output_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(UnwritableOutput, match="there is no folder"),
        Output(str(tmp_path / "no" / "out.jsonl")),
    ):
        pass


def cancelled_job() -> JobView:
    fake = FakeJob("job_1", [{"text": "a"}] * 50, {})
    fake.settle(*range(7))
    fake.settle(*range(7, 50), status="cancelled")
    fake.status = "cancelled"
    return JobView.parse(fake.body())


def test_a_cancelled_job_says_what_was_computed() -> None:
    """W25: 689 of 5,000 computed read as DONE 100 % and 141 documents/s."""
    assert words.summary(cancelled_job()).startswith(
        "job_1 cancelled: 7 succeeded, 43 cancelled (14% computed) in 8.0 s (0.88 documents/s)"
    )
    assert "7 of 50 (14%)" in words.progress_line(cancelled_job())
    assert words.share(cancelled_job()) == "14%"


def test_the_bar_of_a_cancelled_job_is_neither_full_nor_green() -> None:
    """W25."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, width=160, color_system="standard")
    with progress_on(console) as progress:
        progress.show(cancelled_job())
    shown = stream.getvalue()
    assert "7/50" in shown
    assert "14%" in shown
    assert "100%" not in shown
    assert "\x1b[33m━" in shown  # yellow


@pytest.mark.parametrize(
    ("settled", "total", "text"), [(0, 9, "0%"), (1, 999, "<1%"), (998, 999, "99%"), (9, 9, "100%")]
)
def test_a_share_is_whole_only_when_nothing_is_missing(settled: int, total: int, text: str) -> None:
    assert words.share(job(settled, total)) == text
