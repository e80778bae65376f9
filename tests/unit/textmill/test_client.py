from __future__ import annotations

import json
from pathlib import Path

import httpx2
import numpy as np
import pytest

from jobs.errors import ConfigurationError
from jobs.records import DocumentStatus, JobStatus
from tests.support.fake_server import FakeJob, FakeServer, problem
from textmill.client import Textmill
from textmill.errors import RequestRefused, ServerUnreachable, UnreadableInput, WaitTimedOut


def settle_next(job: FakeJob) -> None:
    """One more document is done with every poll."""
    missing = [seq for seq in range(len(job.rows)) if seq not in job.results]
    if missing:
        job.settle(missing[0])


def test_the_readmes_one_liner_gives_one_result_for_each_text(client: Textmill, server: FakeServer) -> None:
    server.on_poll = settle_next
    results = list(client.submit(["a", "b", "c"], task="sentiment").wait().results())
    assert [(r.seq, r.status, r.text) for r in results] == [
        (seq, DocumentStatus.SUCCEEDED, "POSITIVE") for seq in range(3)
    ]


def test_job_fields_travel_as_query_parameters_and_the_key_as_a_bearer_token(
    client: Textmill, server: FakeServer
) -> None:
    client.submit(
        [{"text": "a"}], task="generation", model="m", params={"num_beams": 2}, priority="interactive"
    )
    request = server.requests[0]
    assert dict(request.url.params) == {
        "task": "generation",
        "model": "m",
        "params": '{"num_beams":2}',
        "priority": "interactive",
    }
    assert request.headers["Authorization"] == "Bearer key-1"


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("rows.jsonl", "application/x-ndjson"),
        ("rows.ndjson", "application/x-ndjson"),
        ("rows.csv", "text/csv"),
        ("rows.TXT", "text/plain; charset=utf-8"),
    ],
)
def test_a_file_is_sent_as_what_its_name_says(
    client: Textmill, server: FakeServer, tmp_path: Path, name: str, content_type: str
) -> None:
    path = tmp_path / name
    path.write_text('{"text": "a"}\n')
    client.submit(path)
    assert server.requests[0].headers["Content-Type"] == content_type
    assert server.requests[0].headers["Content-Length"] == str(path.stat().st_size)


def test_a_file_that_is_not_there_is_named(client: Textmill, tmp_path: Path) -> None:
    with pytest.raises(UnreadableInput, match=r"missing\.jsonl: No such file"):
        client.submit(tmp_path / "missing.jsonl")


def test_a_file_of_unknown_format_is_refused_before_anything_is_sent(
    client: Textmill, server: FakeServer, tmp_path: Path
) -> None:
    path = tmp_path / "rows.dat"
    path.touch()
    with pytest.raises(UnreadableInput, match="cannot tell the format"):
        client.submit(path)
    assert server.requests == []


def test_a_submission_is_repeated_with_the_same_key_and_body_and_makes_one_job(
    client: Textmill, server: FakeServer, rests: list[float]
) -> None:
    server.trouble = [
        httpx2.ConnectError("refused"),
        httpx2.Response(503),
        httpx2.ReadError("cut"),
    ]
    client.submit(["a", "b"])
    assert len({request.headers["Idempotency-Key"] for request in server.requests}) == 1
    assert len(server.jobs) == 1
    assert len(rests) == 3


def test_retry_after_is_honoured(client: Textmill, server: FakeServer, rests: list[float]) -> None:
    server.trouble = [httpx2.Response(429, headers={"Retry-After": "7"})]
    client.submit(["a"])
    assert rests == [7.0]


def test_pauses_grow_from_try_to_try(client: Textmill, server: FakeServer, rests: list[float]) -> None:
    list(client.jobs())
    server.trouble = [httpx2.ReadError("cut") for _ in range(5)]
    list(client.jobs())
    assert rests == sorted(rests)
    assert rests[-1] > 2


def test_a_server_that_never_answered_is_given_up_on_soon(server: FakeServer) -> None:
    ticks = [0.0]

    def rest(seconds: float) -> None:
        ticks[0] += seconds

    client = Textmill(
        transport=server.transport, sleep=rest, clock=lambda: ticks[0], first_contact_seconds=3.0
    )
    server.trouble = [httpx2.ConnectError("refused") for _ in range(100)]
    with pytest.raises(ServerUnreachable, match=r"no answer from http://127\.0\.0\.1:8000: refused"):
        client.submit(["a"])
    assert ticks[0] <= 3.0


def test_a_server_that_answered_before_is_waited_for_longer(server: FakeServer) -> None:
    ticks = [0.0]

    def rest(seconds: float) -> None:
        ticks[0] += seconds

    client = Textmill(transport=server.transport, sleep=rest, clock=lambda: ticks[0], retry_seconds=60.0)
    job = client.submit(["a"])
    server.trouble = [httpx2.ConnectError("refused") for _ in range(100)]
    with pytest.raises(ServerUnreachable):
        job.status()
    assert 30 < ticks[0] <= 60


def test_row_errors_arrive_with_line_and_field(client: Textmill, server: FakeServer) -> None:
    rows = [{"line": 3, "field": "params.temperature", "message": "must be above 0"}]
    server.trouble = [problem(422, "Invalid rows", "1 problem(s) in the input rows", errors=rows)]
    with pytest.raises(RequestRefused) as caught:
        client.submit(["a"])
    assert caught.value.status == 422
    (row,) = caught.value.rows
    assert (row.line, row.field, row.message) == (3, "params.temperature", "must be above 0")


def test_a_refusal_that_is_no_problem_document_keeps_its_text(client: Textmill, server: FakeServer) -> None:
    server.trouble = [httpx2.Response(413, text="too much")]
    with pytest.raises(RequestRefused, match="too much"):
        client.submit(["a"])


def test_waiting_reports_every_change_and_ends_with_the_job(client: Textmill, server: FakeServer) -> None:
    server.on_poll = settle_next
    seen: list[tuple[JobStatus, int]] = []
    client.submit(["a", "b"]).wait(on_progress=lambda job: seen.append((job.status, job.counts.settled)))
    assert seen == [(JobStatus.QUEUED, 0), (JobStatus.RUNNING, 1), (JobStatus.COMPLETED, 2)]


def test_waiting_gives_up_at_the_timeout(client: Textmill) -> None:
    with pytest.raises(WaitTimedOut, match="still queued"):
        client.submit(["a"]).wait(timeout_seconds=0)


def test_results_of_a_running_job_come_in_order_without_gaps(client: Textmill, server: FakeServer) -> None:
    job = client.submit(["a", "b", "c", "d"])
    fake = server.jobs[job.id]
    fake.settle(0, 2)
    waves = [[3], [1]]
    server.on_poll = lambda fake: fake.settle(*waves.pop(0)) if waves else None
    assert [result.seq for result in job.results()] == [0, 1, 2, 3]


def test_results_so_far_do_not_wait(client: Textmill, server: FakeServer) -> None:
    job = client.submit(["a", "b", "c"])
    server.jobs[job.id].settle(0, 2)
    assert [result.seq for result in job.results(follow=False)] == [0, 2]


def test_results_are_read_page_by_page(client: Textmill, server: FakeServer) -> None:
    server.page_size = 2
    job = client.submit([str(n) for n in range(5)])
    server.jobs[job.id].settle(*range(5))
    assert [result.seq for result in job.results(after=0)] == [1, 2, 3, 4]


@pytest.mark.parametrize("after", [0, 1, 3])
def test_a_stream_of_results_that_breaks_is_resumed_where_it_broke(
    client: Textmill, server: FakeServer, after: int
) -> None:
    job = client.submit(["a", "b", "c"])
    server.jobs[job.id].settle(0, 1, 2)
    server.breaks = [after]
    assert [result.seq for result in job.results()] == [0, 1, 2]


def test_results_that_only_ever_break_are_given_up_on(client: Textmill, server: FakeServer) -> None:
    job = client.submit(["a"])
    server.jobs[job.id].settle(0)
    server.breaks = [0] * 50
    with pytest.raises(ServerUnreachable, match="keep breaking off"):
        list(job.results())


def test_result_lines_are_the_servers_bytes_even_with_a_line_separator_in_a_string(
    client: Textmill, server: FakeServer
) -> None:
    job = client.submit(["a"])
    server.jobs[job.id].settle(0, status="failed")
    (line,) = job.result_lines()
    assert "\u2028" in line.decode()
    assert json.loads(line)["error"]["code"] == "bad"


def test_events_end_with_done(client: Textmill) -> None:
    events = list(client.submit(["a", "b"]).events())
    assert [(event.kind, event.job.counts.settled) for event in events] == [("progress", 1), ("done", 2)]


def test_cancel_and_retry_answer_with_the_job(client: Textmill, server: FakeServer) -> None:
    job = client.submit(["a", "b"])
    server.jobs[job.id].settle(0)
    assert job.cancel().status is JobStatus.CANCELLED
    assert job.retry().status is JobStatus.QUEUED


def test_a_job_with_a_failed_document_is_complete_but_has_not_succeeded(
    client: Textmill, server: FakeServer
) -> None:
    job = client.submit(["a", "b"])
    server.jobs[job.id].settle(0)
    server.jobs[job.id].settle(1, status="failed")
    view = job.status()
    assert view.status is JobStatus.COMPLETED
    assert not view.has_succeeded


def test_jobs_are_listed_over_all_pages(client: Textmill) -> None:
    ids = [client.submit([str(n)]).id for n in range(5)]
    assert [job.id for job in client.jobs(page_size=2)] == ids[::-1]


def test_running_one_document_uses_the_interactive_lane(client: Textmill, server: FakeServer) -> None:
    server.on_poll = settle_next
    result = client.run("Who?", task="qa", context="Ada.")
    assert result.text == "POSITIVE"
    assert server.requests[0].url.params["priority"] == "interactive"
    assert json.loads(server.requests[0].content) == {"text": "Who?", "context": "Ada."}


def test_integers_keep_their_digits_on_the_way_to_the_server_and_back(
    client: Textmill, server: FakeServer
) -> None:
    """W21: an integer beyond 64 bits could not be sent, and came back as a float."""
    metadata = {"id": 123456789012345678901, "deep": [-(2**70)]}
    job = client.submit([{"text": "a", "metadata": metadata}], metadata=metadata)
    assert json.loads(server.requests[0].content)["metadata"] == metadata
    assert json.loads(server.requests[0].url.params["metadata"]) == metadata
    assert str(job.status().raw["metadata"]) == str(metadata)
    server.jobs[job.id].settle(0)
    server.jobs[job.id].results[0]["metadata"] = metadata
    (result,) = job.results()
    assert str(result.raw["metadata"]) == str(metadata)
    assert str(metadata["id"]) in next(job.result_lines()).decode()


def test_parameters_are_numbers_of_any_kind_that_json_has(client: Textmill, server: FakeServer) -> None:
    """A relative of W23: numpy's numbers were fine in rows, and a TypeError of json's in params."""
    client.submit(
        ["a"], params={"temperature": np.float32(0.5), "max_new_tokens": np.int64(5), "stop": ("x",)}
    )
    sent = json.loads(server.requests[0].url.params["params"])
    assert sent == {"temperature": 0.5, "max_new_tokens": 5, "stop": ["x"]}
    for value in (float("nan"), {1, 2}, np.float64("inf"), b"x"):
        with pytest.raises(UnreadableInput, match="params cannot be written as JSON"):
            client.submit(["a"], params={"temperature": value})
    assert len(server.requests) == 1


def test_an_address_without_a_scheme_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="must begin with http"):
        Textmill("localhost:8000")


def test_a_row_that_is_no_json_is_refused_before_anything_is_sent(
    client: Textmill, server: FakeServer
) -> None:
    with pytest.raises(UnreadableInput, match="cannot be written as JSON"):
        client.submit([{"text": "\ud800"}])
    assert server.requests == []
