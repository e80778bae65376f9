"""The stock `openai` client, from its file to its results; a worker's hands are behind the API's back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from openai import (
    BadRequestError,
    NotFoundError,
    OpenAI,
)
from openai.types import Batch

from tests.support.openai_client import as_file, chats, line, read_lines, stock_client
from tests.unit.api.conftest import BASE_URL, Api

HI = {"text": "Hi", "finish_reason": "stop"}
CHAT = "/v1/chat/completions"
MakeApi = Callable[..., Api]


def client_of(api: Api, **more: Any) -> OpenAI:
    return stock_client(BASE_URL, http=api.http, **more)


def create(client: OpenAI, lines: list[Any], endpoint: str = CHAT, **more: Any) -> Batch:
    file = client.files.create(file=as_file(lines), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h", **more)  # type: ignore[arg-type]


def job_of(batch: Batch) -> str:
    return batch.id.replace("batch_", "job_")


def test_a_batch_from_its_file_to_its_results(api: Api) -> None:
    client = client_of(api)
    batch = create(client, chats(5), metadata={"night": "monday"})
    assert (batch.status, batch.errors, batch.output_file_id) == ("in_progress", None, None)
    assert batch.metadata == {"night": "monday"}
    assert batch.expires_at is not None
    assert batch.expires_at - batch.created_at == pytest.approx(86_400, abs=2)
    api.work_off(job_of(batch), failing=(2,), output=lambda _: HI)
    batch = client.batches.retrieve(batch.id)
    assert (batch.status, batch.request_counts) == ("completed", type(batch.request_counts)(total=5, completed=4, failed=1))  # type: ignore[misc]  # fmt: skip
    assert batch.output_file_id is not None
    assert batch.error_file_id is not None
    lines = read_lines(client.files.content(batch.output_file_id).text)
    assert [each["custom_id"] for each in lines] == [f"request-{n}" for n in (0, 1, 3, 4)]
    assert lines[0]["response"]["body"]["choices"][0]["message"]["content"] == "Hi"
    (failed,) = read_lines(client.files.content(batch.error_file_id).text)
    assert (failed["custom_id"], failed["response"]["status_code"]) == ("request-2", 400)


def test_a_batch_is_a_job_for_everybody_else(api: Api) -> None:
    batch = create(client_of(api), chats(3), metadata={"a": "b"})
    job = api.http.get(f"/v1/jobs/{job_of(batch)}").json()
    assert (job["counts"]["total"], job["metadata"]) == (3, {"a": "b"})
    api.work_off(job["id"], output=lambda _: HI)
    results = api.http.get(f"/v1/jobs/{job['id']}/results").text
    assert [each["custom_id"] for each in read_lines(results)] == ["request-0", "request-1", "request-2"]
    assert "metadata" not in read_lines(results)[0]


def test_a_file_comes_back_as_it_was_sent(api: Api) -> None:
    client = client_of(api)
    sent = b'{"\xc3\xa9": 1}\r\n\n \xff' * 50_000  # nobody looks into it before it is made a batch
    file = client.files.create(file=("n\u00e4me.jsonl", sent), purpose="batch")
    assert (file.bytes, file.filename, file.purpose, file.status) == (
        len(sent),
        "n\u00e4me.jsonl",
        "batch",
        "processed",
    )
    assert client.files.content(file.id).content == sent
    assert client.files.retrieve(file.id) == file
    assert client.files.wait_for_processing(file.id) == file
    assert client.files.delete(file.id).deleted
    with pytest.raises(NotFoundError, match="no file"):
        client.files.content(file.id)


def test_files_are_listed_with_those_that_batches_ended_with(api: Api) -> None:
    client = client_of(api)
    batches = [create(client, chats(2)) for _ in range(2)]
    for batch in batches:
        api.work_off(job_of(batch), failing=(1,), output=lambda _: HI)
    wanted = {each.id for each in client.files.list()}
    assert len(wanted) == 6
    for order in ("asc", "desc"):
        by_pages = list(client.files.list(limit=1, order=order))  # type: ignore[arg-type]  # the client follows the pages
        assert len(by_pages) == 6
        assert {each.id for each in by_pages} == wanted
        times = [each.created_at for each in by_pages]
        assert times == sorted(times, reverse=order == "desc")
    results = list(client.files.list(purpose="batch_output", limit=3))
    assert {each.purpose for each in results} == {"batch_output"}
    assert len(results) == 4
    assert {each.purpose for each in client.files.list(purpose="batch")} == {"batch"}
    assert list(client.files.list(purpose="vision")) == []
    for each in results:
        assert each.bytes == len(client.files.content(each.id).content)
        assert client.files.retrieve(each.id) == each


def test_batches_are_listed_newest_first(api: Api) -> None:
    client = client_of(api)
    made = [create(client, chats(1)).id for _ in range(4)]
    assert [each.id for each in client.batches.list(limit=3)] == made[::-1]
    with pytest.raises(BadRequestError, match="no batch of this list"):
        client.batches.list(after="batch_x")


def test_a_cancelled_batch_keeps_what_was_done(api: Api) -> None:
    client = client_of(api)
    batch = create(client, chats(4))
    api.work_off(job_of(batch), leaving=(1, 3), output=lambda _: HI)
    batch = client.batches.cancel(batch.id)
    assert batch.status == "cancelled"
    assert batch.cancelled_at is not None
    assert batch.output_file_id is not None
    assert batch.error_file_id is not None
    done = read_lines(client.files.content(batch.output_file_id).text)
    left = read_lines(client.files.content(batch.error_file_id).text)
    assert [each["custom_id"] for each in done] == ["request-0", "request-2"]
    assert [(each["custom_id"], each["error"]["code"]) for each in left] == [
        ("request-1", "batch_cancelled"), ("request-3", "batch_cancelled"),
    ]  # fmt: skip
    assert client.batches.cancel(batch.id) == batch  # as often as one likes


def test_files_and_results_say_when_they_go(make_api: MakeApi) -> None:
    api = make_api(keep_days=2)
    client = client_of(api)
    file = client.files.create(
        file=as_file(chats(1)), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert file.expires_at is not None
    assert file.expires_at - file.created_at == pytest.approx(3600, abs=1)
    kept = client.files.create(file=as_file(chats(1)), purpose="batch")
    assert kept.expires_at is not None
    assert kept.expires_at - kept.created_at == pytest.approx(2 * 86_400, abs=1)
    batch = client.batches.create(
        input_file_id=file.id, endpoint=CHAT, completion_window="24h",
        output_expires_after={"anchor": "created_at", "seconds": 7200},
    )  # fmt: skip
    api.work_off(job_of(batch), output=lambda _: HI)
    output = client.files.retrieve(str(client.batches.retrieve(batch.id).output_file_id))
    assert output.expires_at is not None
    assert output.expires_at - output.created_at == pytest.approx(7200, abs=1)


def test_with_the_last_of_its_files_the_results_go(api: Api) -> None:
    client = client_of(api)
    batch = create(client, chats(2))
    api.work_off(job_of(batch), failing=(1,), output=lambda _: HI)
    batch = client.batches.retrieve(batch.id)
    assert client.files.delete(str(batch.output_file_id)).deleted
    with pytest.raises(NotFoundError):
        client.files.content(str(batch.output_file_id))
    assert api.http.get(f"/v1/jobs/{job_of(batch)}").status_code == 200
    client.files.delete(str(batch.error_file_id))
    assert api.http.get(f"/v1/jobs/{job_of(batch)}").status_code == 404
    assert client.batches.retrieve(batch.id) == batch
    assert [each.purpose for each in client.files.list()] == ["batch"]


def test_a_batch_of_several_endpoints(api: Api) -> None:
    client = client_of(api)
    lines = [
        line("a", "/v1/sentiment", {"input": "Good."}),
        line("b", "/v1/answers", {"question": "Who?", "context": "Ada."}),
        line("c", "/v1/translations", {"input": "Hello."}),
        line("d", "/v1/completions", {"prompt": "Once"}),
        *chats(1),
    ]
    batch = create(client, lines, endpoint="/v1/*")
    assert batch.errors is None
    outputs = {"Good.": {"label": "A"}, "Who?": {"answer": "Ada", "score": 1.0, "start": 0, "end": 3}}
    api.work_off(job_of(batch), output=lambda d: outputs.get(d.text, HI))
    batch = client.batches.retrieve(batch.id)
    bodies = [
        each["response"]["body"] for each in read_lines(client.files.content(str(batch.output_file_id)).text)
    ]
    assert [body["object"] for body in bodies] == [
        "sentiment", "answer", "translation", "text_completion", "chat.completion",
    ]  # fmt: skip
    assert (bodies[0]["label"], bodies[1]["answer"], bodies[2]["text"]) == ("A", "Ada", "Hi")
    assert [body["model"] for body in bodies] == ["noop:s", "noop:q", "noop:t", "noop:g", "noop:g"]


def test_requests_may_come_with_the_call(api: Api) -> None:
    client = client_of(api)
    body = {"endpoint": CHAT, "completion_window": "6h", "requests": chats(3), "metadata": {"a": "b"}}
    batch = client.post("/batches", cast_to=Batch, body=body)
    assert (batch.status, batch.input_file_id) == ("in_progress", None)
    assert batch.request_counts is not None
    assert batch.request_counts.total == 3
    assert batch.expires_at is not None
    assert batch.expires_at - batch.created_at == pytest.approx(6 * 3600, abs=2)
    wrong = [*chats(1), {"custom_id": "x"}, 7]
    batch = client.post("/batches", cast_to=Batch, body={**body, "requests": wrong})
    assert batch.errors is not None
    assert batch.errors.data is not None
    assert [(each.line, each.code) for each in batch.errors.data] == [
        (2, "missing_required_parameter"), (3, "invalid_request"),
    ]  # fmt: skip


class _Deaf(httpx2.BaseTransport):
    """Sends, and loses the first answers to calls that make a batch."""

    def __init__(self, inner: httpx2.BaseTransport, num_lost: int) -> None:
        self._inner, self.left = inner, num_lost

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = self._inner.handle_request(request)
        if self.left and request.url.path == "/v1/batches":
            self.left -= 1
            raise httpx2.ReadError("the connection broke", request=request)
        return answer


def test_a_repeated_create_makes_one_batch(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "sleep", lambda seconds: None)  # the client's own pauses
    deaf = _Deaf(api.http._transport, 2)
    client = client_of(api, retries=2)
    client._client = httpx2.Client(transport=deaf, base_url=f"{BASE_URL}/v1")
    batch = create(client, chats(2))
    assert deaf.left == 0
    assert [each.id for each in client.batches.list()] == [batch.id]
    assert len(api.http.get("/v1/jobs").json()["data"]) == 1
    other = create(client, chats(2))  # meant: it is no repeat
    assert other.id != batch.id


def test_an_idempotency_key_makes_one_batch_too(api: Api) -> None:
    client = client_of(api)
    file = client.files.create(file=as_file(chats(2)), purpose="batch")
    asked: dict[str, Any] = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}
    header = {"Idempotency-Key": "k"}
    first, second = (client.batches.create(**asked, extra_headers=header) for _ in range(2))
    assert first.id == second.id
    with pytest.raises(BadRequestError, match="different request"):
        client.batches.create(**{**asked, "completion_window": "12h"}, extra_headers=header)
