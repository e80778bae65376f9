"""S1: an answer that fails half way never ends in order, so that nobody takes it for whole."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from jobs.errors import JobNotFound, StoreUnavailable
from tests.support.waiting import PATIENCE_SECONDS
from tests.unit.api.conftest import Api

Message = dict[str, Any]


def exchange(api: Api, path: str, query: str = "") -> list[Message]:
    """What the app hands to the web server for one request, up to its end or its failure."""
    scope: dict[str, Any] = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.4"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": query.encode(), "headers": [(b"host", b"127.0.0.1")],
        "server": ("test", 80), "client": ("test", 1), "root_path": "",
    }  # fmt: skip
    sent: list[Message] = []

    async def receive() -> Message:
        await asyncio.Event().wait()
        return {}

    async def send(message: Any) -> None:
        sent.append(dict(message))

    async def run() -> None:
        await api.http.app(scope, receive, send)  # type: ignore[arg-type]

    try:
        asyncio.run(asyncio.wait_for(run(), PATIENCE_SECONDS))
    except Exception as error:
        sent.append({"type": "failed", "error": error})
    return sent


def is_broken(messages: list[Message]) -> bool:
    """Whether an answer began and did not end in order: the server then closes the connection."""
    return messages[0].get("status") == 200 and all(message.get("more_body", True) for message in messages)


def failing_at(call: int, work: Callable[..., Any], error: Exception) -> Callable[..., Any]:
    """The same function, whose n-th call raises."""
    calls = []

    def wrapped(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) >= call:
            raise error
        return work(*arguments, **options)

    return wrapped


@pytest.fixture
def finished(api: Api, monkeypatch: pytest.MonkeyPatch) -> str:
    """A job of three pages."""
    monkeypatch.setattr("api.result_reading._PAGE", 2)
    job_id = api.submit(*"abcde")
    api.work_off(job_id)
    return job_id


@pytest.mark.parametrize(
    "query", ["", "format=csv", "format=csv&spreadsheet=true", "status=succeeded", "after=0"]
)
@pytest.mark.parametrize("error", [StoreUnavailable("away"), JobNotFound("deleted"), ValueError("odd")])
def test_results_that_fail_half_way_do_not_end_in_order(
    api: Api, finished: str, monkeypatch: pytest.MonkeyPatch, query: str, error: Exception
) -> None:
    """S1: a store that failed at the third page made a complete 200 of two rows in five."""
    monkeypatch.setattr(api.store, "result_page", failing_at(2, api.store.result_page, error))
    messages = exchange(api, f"/v1/jobs/{finished}/results", query)
    assert is_broken(messages)
    assert (messages[-1]["type"] == "failed") is isinstance(
        error, ValueError
    )  # the server's log has it whole


@pytest.mark.parametrize("stream", ["results", "results?format=csv", "events"])
def test_a_stream_of_a_job_that_is_deleted_meanwhile_breaks_off_with_one_line_of_log(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, stream: str
) -> None:
    """S1's kind: each left two tracebacks of 8 kB, for what its own client had asked for."""
    monkeypatch.setattr("api.result_reading._PAGE", 2)
    is_over = stream != "events"
    job_id = api.submit(*"abcde")
    if is_over:
        api.work_off(job_id)
    path, _, query = stream.partition("?")
    asked = "result_page" if is_over else "get_job"
    read = getattr(api.store, asked)
    calls = []

    def deleted_meanwhile(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            if not is_over:
                api.store.cancel(job_id)
            api.store.delete(job_id)
        return read(*arguments, **options)

    monkeypatch.setattr(api.store, asked, deleted_meanwhile)
    messages = exchange(api, f"/v1/jobs/{job_id}/{path}", query)
    assert is_broken(messages)
    (line,) = [record for record in caplog.records if record.levelname != "INFO"]
    assert line.getMessage().startswith("stream_broken: job_not_found")
    assert line.exc_info is None


def test_a_look_at_a_running_job_that_fails_half_way_does_not_end_in_order(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = api.submit(*"abc")
    api.work_off(job_id, leaving=(1,))
    monkeypatch.setattr(api.store, "results", failing_at(1, api.store.results, StoreUnavailable("away")))
    messages = exchange(api, f"/v1/jobs/{job_id}/results")
    assert is_broken(messages)


def test_results_that_fail_at_once_are_a_problem_document(
    api: Api, finished: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        api.store, "result_page", failing_at(1, api.store.result_page, StoreUnavailable("away"))
    )
    answer = api.http.get(f"/v1/jobs/{finished}/results")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert "retry-after" in answer.headers


def test_a_job_that_is_retried_while_it_is_read_breaks_the_stream(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.result_reading._PAGE", 2)
    job_id = api.submit(*"abcde")
    api.work_off(job_id, failing=(3,))
    read = api.store.result_page
    pages = []

    def retried_meanwhile(*arguments: Any, **options: Any) -> Any:
        pages.append(1)
        if len(pages) == 2:
            api.store.retry(job_id)
        return read(*arguments, **options)

    monkeypatch.setattr(api.store, "result_page", retried_meanwhile)
    assert is_broken(exchange(api, f"/v1/jobs/{job_id}/results"))


def test_events_that_fail_do_not_end_in_order(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    job_id = api.submit("a")
    job = api.store.get_job(job_id)
    monkeypatch.setattr(api.store, "get_job", failing_at(2, lambda *a, **k: job, JobNotFound("deleted")))
    assert is_broken(exchange(api, f"/v1/jobs/{job_id}/events"))


def test_metrics_name_no_method_that_a_client_made_up(api: Api) -> None:
    """S4: each method name became 18 lines for ever."""
    for number in range(5):
        api.http.request(f"MADEUP{number}", "/healthz")
    text = api.http.get("/metrics").text
    assert "MADEUP" not in text
    assert 'route="/healthz"' in text or "/healthz" in text
