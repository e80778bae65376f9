"""What the stock `openai` client hears when something is wrong: with a line, a file, a call, or a key."""

from __future__ import annotations

import pytest
from openai import (
    APIStatusError,
    ConflictError,
    NotFoundError,
    PermissionDeniedError,
)
from openai.types import Batch

from tests.support.openai_client import as_file, chats, line
from tests.unit.api.conftest import Api
from tests.unit.api.test_openai_batches import CHAT, HI, MakeApi, client_of, create, job_of


def test_a_batch_that_has_ended_cannot_be_cancelled_and_is_asked_once(api: Api) -> None:
    client = client_of(api, retries=2)
    batch = create(client, chats(1))
    api.work_off(job_of(batch), output=lambda _: HI)
    with pytest.raises(ConflictError) as caught:
        client.batches.cancel(batch.id)
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert caught.value.response.request.headers["x-stainless-retry-count"] == "0"
    with pytest.raises(ConflictError, match="nothing is left to cancel"):
        client.batches.cancel(create(client, ["{"]).id)


UNKEPT = {
    "type": "json_schema",
    "json_schema": {"name": "n", "schema": {"type": "array", "uniqueItems": True}},
}


def test_every_wrong_line_is_named(api: Api) -> None:
    client = client_of(api)
    hello = [{"role": "user", "content": "x"}]
    batch = create(
        client,
        [
            line("a", CHAT, {"model": "gpt-9", "messages": hello}),
            line("b", "/v1/completions", {"model": "noop:g", "prompt": "x"}),
            line("c", CHAT, {"model": "noop:g", "messages": hello, "tools": [{}]}),
            line("d", CHAT, {"model": "noop:g", "messages": hello, "max_completion_tokens": 0}),
            "",
            line("d", CHAT, {"model": "noop:g", "messages": hello}),
            "{oops",
            line("e", CHAT, {"model": "noop:g", "messages": [{"role": "user", "content": 3}]}),
            line("f", CHAT, {"model": "noop:s", "messages": hello}),
            line("g", CHAT, {"model": "noop:g", "messages": hello, "temperature": 0, "top_p": 0.5}),
            line("h", CHAT, {"model": "noop:g", "messages": hello, "response_format": UNKEPT}),
            line("i", CHAT, {"model": "noop:g", "messages": hello, "response_format": {"type": "xml"}}),
        ],
    )
    assert batch.status == "failed"
    assert batch.failed_at is not None
    assert batch.errors is not None
    assert batch.errors.data is not None
    assert [(each.line, each.param, each.code) for each in batch.errors.data] == [
        (1, "body.model", "model_not_found"),
        (2, "url", "invalid_url"),
        (3, "body.tools", "unsupported_parameter"),
        (4, "body.max_completion_tokens", "invalid_value"),
        (6, "custom_id", "duplicate_custom_id"),
        (7, None, "invalid_json_line"),
        (8, "body.messages[0].content", "invalid_value"),
        (9, "body.model", "invalid_value"),
        (10, "body.top_p", "invalid_value"),
        (11, "body.response_format", "invalid_value"),
        (12, "body.response_format", "invalid_value"),
    ]
    assert client.batches.retrieve(batch.id) == batch
    assert client.batches.list().data == [batch]
    assert api.http.get("/v1/jobs").json()["data"] == []  # nothing was stored


def test_of_very_many_wrong_lines_a_hundred_are_named_and_all_counted(api: Api) -> None:
    batch = create(client_of(api), ["{}"] * 1000)
    assert batch.errors is not None
    assert batch.errors.data is not None
    assert len(batch.errors.data) == 101
    assert "1000 problems" in str(batch.errors.data[-1].message)


@pytest.mark.parametrize(
    ("content", "code"), [(b" \n\n", "empty_file"), (b"PK\x03\x04....", "unsupported_media_type")]
)
def test_a_file_that_holds_no_requests_makes_a_failed_batch(api: Api, content: bytes, code: str) -> None:
    client = client_of(api)
    file = client.files.create(file=("x.jsonl", content), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/completions", completion_window="24h")
    assert batch.errors is not None
    assert batch.errors.data is not None
    assert [each.code for each in batch.errors.data] == [code]


def test_wrong_calls_are_refused_as_openai_refuses_them(api: Api) -> None:
    client = client_of(api)
    file = client.files.create(file=as_file(chats(1)), purpose="batch")
    good = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}
    for change, status, words in (
        ({"input_file_id": "file-none"}, 404, "no file"),
        ({"endpoint": "/v1/embeddings"}, 400, "no model here makes embeddings"),
        ({"endpoint": "/v1/embeddings"}, 400, "no model here makes embeddings"),
        ({"endpoint": "/v1/x"}, 400, "not served"),
        ({"completion_window": "soon"}, 400, "24h"),
        ({"metadata": {"k" * 65: "v"}}, 400, "64"),
        ({"metadata": {str(n): "v" for n in range(17)}}, 400, "16"),
        ({"metadata": {"k": "v" * 513}}, 400, "512"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 60}}, 400, "3600"),
        ({"input_file_id": None}, 400, "input_file_id, or the requests"),
        ({"colour": "red"}, 400, "unknown field 'colour'"),
    ):
        with pytest.raises(APIStatusError) as caught:
            client.post("/batches", cast_to=Batch, body={**good, **change})  # type: ignore[arg-type]
        assert caught.value.status_code == status
        assert caught.value.request_id is not None
        assert words in str(caught.value)
        assert isinstance(caught.value.body, dict)
        assert {"message", "type", "param", "code"} == set(caught.value.body)
    assert client.batches.list().data == []
    answer = api.http.post("/v1/batches", content=b"{", headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "malformed_body")


def test_wrong_uploads_are_refused(make_api: MakeApi) -> None:
    client = client_of(make_api(max_file_bytes=1000))
    for file, purpose, more, status in (
        (b"x" * 1001, "batch", {}, 413),
        (b"x" * 200_000, "batch", {}, 413),
        (b"", "batch", {}, 400),
        (b"x", "fine-tune", {}, 400),
        (b"x", "batch", {"expires_after": {"anchor": "created_at", "seconds": 5}}, 400),
        (b"x", "batch", {"expires_after": {"anchor": "last_used", "seconds": 3600}}, 400),
    ):
        with pytest.raises(APIStatusError) as caught:
            client.files.create(file=("f", file), purpose=purpose, **more)  # type: ignore[arg-type]
        assert caught.value.status_code == status, caught.value
    assert client.files.list().data == []
    with pytest.raises(APIStatusError) as caught:
        client.post("/files", cast_to=object, body={"purpose": "batch"})
    assert caught.value.status_code == 415


KEYS = "first-key-of-16-or-more second-key-of-16-or-more"


def test_nobody_sees_files_and_batches_of_another_project(make_api: MakeApi) -> None:
    api = make_api(admin_key="an-administrators-key-of-16-or-more")
    admin = {"Authorization": "Bearer an-administrators-key-of-16-or-more"}
    keys = []
    for name in ("ada", "bob"):
        assert api.http.post("/v1/projects", json={"name": name}, headers=admin).status_code == 201
        answer = api.http.post("/v1/keys", json={"name": name, "project": name}, headers=admin)
        keys.append(answer.json()["key"])
    ada, bob = (client_of(api, key=key) for key in keys)
    batch = create(ada, chats(2))
    api.work_off(job_of(batch), output=lambda _: HI)
    batch = ada.batches.retrieve(batch.id)
    assert len(ada.files.list().data) == 2
    assert bob.files.list().data == []
    assert bob.batches.list().data == []
    for call in (
        lambda: bob.batches.retrieve(batch.id),
        lambda: bob.batches.cancel(batch.id),
        lambda: bob.files.retrieve(str(batch.input_file_id)),
        lambda: bob.files.content(str(batch.output_file_id)),
        lambda: bob.files.delete(str(batch.output_file_id)),
        lambda: bob.batches.create(
            input_file_id=str(batch.input_file_id),
            endpoint=CHAT,
            completion_window="24h",  # type: ignore[arg-type]
        ),
    ):
        with pytest.raises(NotFoundError):
            call()
    with pytest.raises(APIStatusError) as caught:
        client_of(api, key="nobodys-key-of-16-or-more").files.list()
    assert caught.value.status_code == 401
    assert caught.value.type == "authentication_error"


def test_files_are_bounded_by_what_a_project_may_store(make_api: MakeApi) -> None:
    api = make_api(api_keys=KEYS, limits="stored_bytes=3000")
    client = client_of(api, key=KEYS.split()[0])
    client.files.create(file=("a", b"x" * 2000), purpose="batch")
    with pytest.raises(PermissionDeniedError, match="stores 2000 bytes"):
        client.files.create(file=("b", b"x" * 2000), purpose="batch")
    with pytest.raises(APIStatusError) as caught:
        client.files.create(file=("c", b"x" * 3001), purpose="batch")
    assert caught.value.status_code == 413


def test_a_batch_is_bounded_as_a_job_is(make_api: MakeApi) -> None:
    api = make_api(max_queued_documents=3)
    client = client_of(api)
    create(client, chats(3))
    with pytest.raises(APIStatusError) as caught:
        create(client, chats(1))
    assert caught.value.status_code == 429
    assert caught.value.response.headers["retry-after"]
