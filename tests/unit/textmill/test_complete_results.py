"""S1: the client and the command line never call less than everything whole."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import httpx2
import pytest

from tests.support.fake_server import FakeJob, FakeServer, problem
from tests.unit.textmill.conftest import Run, settle_all
from textmill.client import JobHandle, Textmill
from textmill.errors import IncompleteResults
from textmill.result_reader import num_csv_rows


def finished(client: Textmill, server: FakeServer, count: int) -> JobHandle:
    job = client.submit([str(n) for n in range(count)])
    server.jobs[job.id].settle(*range(count))
    return job


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("cuts", [[2], [0, 0, 3], [1, 1, 1, 1]])
def test_an_answer_that_is_cut_is_gone_on_with(
    client: Textmill, server: FakeServer, cuts: list[int], counts: bool
) -> None:
    server.counts_results = counts
    server.cuts = list(cuts)
    assert [result.seq for result in finished(client, server, 5).results()] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("follow", [True, False])
def test_a_server_that_only_ever_sends_less_is_not_believed(
    client: Textmill, server: FakeServer, follow: bool, counts: bool
) -> None:
    server.counts_results = counts
    server.cuts = [2, *[0] * 50]
    with pytest.raises(IncompleteResults, match="not complete"):
        list(finished(client, server, 5).results(follow=follow))


@pytest.mark.parametrize("counts", [True, False])
def test_a_csv_that_is_cut_is_never_whole(client: Textmill, server: FakeServer, counts: bool) -> None:
    server.counts_results = counts
    server.cuts = [2] * 50
    with pytest.raises(IncompleteResults, match="2 of 5"):
        b"".join(finished(client, server, 5).reader().csv(follow=False))


def test_a_csv_page_that_is_cut_or_broken_is_fetched_again(client: Textmill, server: FakeServer) -> None:
    server.page_size = 2
    job = finished(client, server, 5)
    server.cuts = [1, 2, 1]
    chunks = job.reader().csv(follow=True)
    text = next(chunks)
    server.trouble = [httpx2.ReadError("cut"), problem(503, "Unavailable", "no database")]
    text += b"".join(chunks)
    assert text == b"custom_id,label\r\n" + b"".join(b"%d,POSITIVE\r\n" % n for n in range(5))


def test_a_csv_with_a_long_cell_is_counted(client: Textmill, server: FakeServer) -> None:
    """A relative of W20: Python's reader takes no cell above 128 KiB; the download ended in a traceback."""
    job = finished(client, server, 2)
    server.jobs[job.id].results[1]["custom_id"] = "x" * 200_000
    assert len(b"".join(job.reader().csv(follow=False))) > 200_000


@pytest.mark.parametrize("cell", ["", "a", 'a"b', '"', "\r\n", 'a\r\n"\r\n', ',"",', "\n", "\r", '""\r\n""'])
def test_rows_of_a_csv_are_counted_as_python_counts_them(cell: str) -> None:
    text = io.StringIO(newline="")
    rows = [["custom_id", "output"], [cell, "b"], ["c", cell], [cell, cell]]
    csv.writer(text).writerows(rows)
    assert num_csv_rows(text.getvalue().encode()) == len(rows)
    for quoting in (csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC):
        text = io.StringIO(newline="")
        csv.writer(text, quoting=quoting).writerows(rows)
        assert num_csv_rows(text.getvalue().encode()) == len(rows)


def test_results_that_are_filtered_are_counted_too(client: Textmill, server: FakeServer) -> None:
    job = client.submit(["a", "b", "c", "d"])
    server.jobs[job.id].settle(0, 2)
    server.jobs[job.id].settle(1, 3, status="failed")
    assert [result.seq for result in job.results(status="failed")] == [1, 3]
    server.cuts = [1]
    assert [result.seq for result in job.results(status=["failed", "cancelled"])] == [1, 3]
    server.cuts = [1, *[0] * 50]
    with pytest.raises(IncompleteResults):
        list(job.results(status="failed"))


def test_filtered_results_of_a_running_job_miss_none(client: Textmill, server: FakeServer) -> None:
    job = client.submit([str(n) for n in range(6)])
    server.jobs[job.id].settle(1, 4, status="failed")
    waves = [[0], [5, 2], [3]]
    server.on_poll = lambda fake: fake.settle(*waves.pop(0), status="failed") if waves else None
    assert [result.seq for result in job.results(status="failed")] == [0, 1, 2, 3, 4, 5]


def test_a_job_retried_while_it_is_read_is_read_on_when_it_is_done(
    client: Textmill, server: FakeServer
) -> None:
    job = finished(client, server, 3)
    job.status()
    server.jobs[job.id].results.pop(1)
    server.jobs[job.id].status = "queued"
    server.on_poll = lambda fake: fake.settle(1)
    assert [result.seq for result in job.results()] == [0, 1, 2]


# -- the command line ------------------------------------------------------------------


@pytest.fixture
def job_id(run: Run, rows: Path, server: FakeServer, capsys: pytest.CaptureFixture[str]) -> str:
    run("submit", str(rows))
    found = capsys.readouterr().out.strip()
    settle_all(server.jobs[found])
    return found


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_results_that_are_cut_get_no_file_name_and_no_exit_code_0(
    run: Run, server: FakeServer, job_id: str, form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """S1: exit code 0 and "5 results in r.jsonl" with 2 lines in it."""
    (tmp_path / "out").write_text("old")
    server.cuts = [1, *[0] * 50]
    assert run("results", job_id, "--format", form, "-o", "out") == 1
    assert "not complete" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "rows.jsonl"]
    assert (tmp_path / "out").read_text() == "old"


def test_the_number_said_is_the_number_written(
    run: Run, server: FakeServer, job_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("results", job_id, "-o", "out.jsonl") == 0
    assert "2 results in out.jsonl" in capsys.readouterr().err


def test_results_are_chosen_by_status(
    run: Run, server: FakeServer, job_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """W26."""
    server.jobs[job_id].settle(1, status="failed")
    assert run("results", job_id, "--failed") == 1
    assert [json.loads(line)["seq"] for line in capsys.readouterr().out.strip().split("\n")] == [1]
    assert run("results", job_id, "--status", "succeeded", "-o", "good.jsonl") == 1
    assert "1 of 2 results in good.jsonl" in capsys.readouterr().err
    assert run("results", job_id, "--status", "open") == 2


def test_a_csv_for_spreadsheets_is_asked_for_by_name(run: Run, server: FakeServer, job_id: str) -> None:
    """H13."""
    assert run("results", job_id, "--format", "csv", "--spreadsheet", "-o", "out.csv") == 0
    asked = [request.url.params for request in server.requests if request.url.path.endswith("/results")]
    assert asked[-1]["spreadsheet"] == "true"
    assert run("results", job_id, "--spreadsheet") == 2


# -- H17: files that cannot be written -------------------------------------------------


@pytest.mark.parametrize("target", ["no/such/folder/out.jsonl", "folder", "rows.jsonl/out.jsonl", "x" * 300])
def test_an_output_that_cannot_be_written_is_found_before_the_job_is_sent(
    run: Run, server: FakeServer, rows: Path, tmp_path: Path, target: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """H17: it was noticed after the whole job."""
    (tmp_path / "folder").mkdir()
    for command in ("submit", "results"):
        server.requests.clear()
        assert run(command, str(rows), "-o", target) == 2
        assert f"cannot write {target}" in capsys.readouterr().err
        assert server.requests == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "rows.jsonl"]


def test_an_output_lost_while_the_job_ran_says_that_the_server_still_has_the_results(
    run: Run, server: FakeServer, rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """H17."""
    (tmp_path / "folder").mkdir()

    def lose_the_folder(job: FakeJob) -> None:
        (tmp_path / "folder").rmdir()
        settle_all(job)

    server.on_poll = lose_the_folder
    assert run("submit", str(rows), "-o", "folder/out.jsonl") == 2
    output = capsys.readouterr()
    (job_id,) = server.jobs
    assert f"still on the server: textmill results {job_id} -o" in output.err


def test_a_disk_that_is_full_says_that_the_server_still_has_the_results(
    run: Run, job_id: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """H17."""
    assert run("results", job_id, "-o", "/dev/full") == 2
    error = capsys.readouterr().err
    assert "No space left" in error
    assert f"textmill results {job_id} -o" in error


def test_a_device_or_link_named_as_output_stays_what_it_is(run: Run, job_id: str, tmp_path: Path) -> None:
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "real.jsonl")
    assert run("results", job_id, "-o", "link.jsonl") == 0
    assert (tmp_path / "link.jsonl").is_symlink()
    assert len((tmp_path / "real.jsonl").read_text().splitlines()) == 2
    assert run("results", job_id, "-o", "/dev/null") == 0
    assert Path("/dev/null").is_char_device()


def test_errors_without_a_line_are_printed_once(
    run: Run, server: FakeServer, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """H19: they were printed again as "line 0"."""
    errors = [{"line": None, "field": "params.temprature", "message": "unknown parameter 'temprature'"}]
    detail = "params.temprature: unknown parameter 'temprature'"
    server.trouble = [problem(422, "Invalid params", detail, errors=errors)]
    assert run("submit", str(rows)) == 2
    error = capsys.readouterr().err
    assert error.count("unknown parameter") == 1
    assert "line" not in error


def test_an_error_without_a_line_that_the_message_leaves_out_is_shown_without_a_line(
    run: Run, server: FakeServer, rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """H19."""
    errors = [
        {"line": None, "field": None, "message": "no rows"},
        {"line": 3, "field": "text", "message": "empty"},
    ]
    server.trouble = [problem(422, "Invalid rows", "2 problem(s) in the input rows", errors=errors)]
    assert run("submit", str(rows)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[1:] == ["  no rows", "  line 3  text  empty"]
