"""Single calls by the stock client, on a real ledger: a worker's hands are behind the API's back, and no Redis."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
from openai import (
    APIError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ConflictError,
    InternalServerError,
    NotFoundError,
    OpenAI,
    RateLimitError,
)

from api.routes import calls
from jobs.records import DocumentStatus, LeasedDocument, Outcome
from tests.support.waiting import wait_until
from tests.unit.api.conftest import Api
from tests.unit.api.test_openai_batches import MakeApi, client_of

HELLO: list[Any] = [{"role": "user", "content": "Hello!"}]
KEY = "key-of-somebody-who-has-one"


@contextmanager
def answering(
    api: Api, output: Mapping[str, Any], *, error: str | None = None
) -> Iterator[list[LeasedDocument]]:
    """A worker that gives the next call this output, or fails it; what it was given to compute."""
    given: list[LeasedDocument] = []

    def work() -> None:
        tickets = wait_until(lambda: api.store.take_window(window=10, resend_after_seconds=0.0))
        lease = api.store.claim(tickets[0].key, worker_id="w", lease_seconds=30)
        assert lease is not None
        given.extend(lease.documents)
        outcome = Outcome(
            seq=0,
            status=DocumentStatus.FAILED if error else DocumentStatus.SUCCEEDED,
            output=None if error else output,
            error_code=error,
            error_message="no" if error else None,
            input_tokens=7,
            output_tokens=3,
        )
        api.store.settle(lease.key, lease.attempt, [outcome])

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield given
    finally:
        thread.join(60)


def jobs_of(api: Api) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.http.get("/v1/jobs").json()["data"]
    return found


def test_a_chat_is_answered_and_is_an_interactive_job_of_one_document(api: Api) -> None:
    with answering(api, {"text": "Hi", "finish_reason": "stop"}) as given:
        answer = client_of(api).chat.completions.create(
            model="noop:g", messages=HELLO, max_completion_tokens=5, temperature=0.5, stop="x", seed=3
        )
    assert answer.choices[0].message.content == "Hi"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (7, 3)
    assert given[0].params == {
        "max_new_tokens": 5, "temperature": 0.5, "do_sample": True, "stop": ["x"], "seed": 3,
    }  # fmt: skip
    (job,) = jobs_of(api)
    assert job["id"] == answer.id.replace("chatcmpl-", "job_")
    assert (job["priority"], job["counts"]["succeeded"], job["status"]) == ("interactive", 1, "completed")
    assert job["metadata"] == {"endpoint": "/v1/chat/completions"}


def test_a_completion_of_several_texts(api: Api) -> None:
    output = {"text": "a", "texts": ["a", "b"], "finish_reason": "stop", "finish_reasons": ["stop", "length"]}
    with answering(api, output):
        answer = client_of(api).completions.create(model="noop:g", prompt="Once", n=2)
    assert [(c.index, c.text, c.finish_reason) for c in answer.choices] == [
        (0, "a", "stop"),
        (1, "b", "length"),
    ]
    assert answer.object == "text_completion"


def test_a_stream_without_redis_has_the_whole_text_and_the_usage_when_asked(api: Api) -> None:
    """Tokens come over Redis; the ledger's result is what counts, and enough."""
    with answering(api, {"text": "Hi there", "finish_reason": "length"}):
        stream = client_of(api).chat.completions.create(
            model="noop:g", messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
        chunks = list(stream)
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "Hi there"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "length"
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 10
    assert all(c.usage is None for c in chunks[:-1])
    assert len({c.id for c in chunks}) == 1


def test_a_stream_of_several_completions_numbers_them(api: Api) -> None:
    output = {"text": "a", "texts": ["a", "b"], "finish_reason": "stop", "finish_reasons": ["stop", "length"]}
    with answering(api, output):
        chunks = list(client_of(api).completions.create(model="noop:g", prompt="Once", n=2, stream=True))
    texts = ["", ""]
    for chunk in chunks:
        texts[chunk.choices[0].index] += chunk.choices[0].text
    assert texts == ["a", "b"]
    assert [c.choices[0].finish_reason for c in chunks if c.choices[0].finish_reason] == ["stop", "length"]
    assert all(c.usage is None for c in chunks)


@pytest.mark.parametrize(
    ("url", "body", "output", "field"),
    [
        ("/v1/sentiment", {"input": "fine"}, {"label": "GOOD", "score": 1.0}, "label"),
        ("/v1/answers", {"question": "Who?", "context": "Ada."}, {"answer": "Ada"}, "answer"),
        ("/v1/translations", {"input": "Hello"}, {"text": "Bonjour"}, "text"),
    ],
)
def test_our_own_endpoints_answer_single_calls_too(
    api: Api, url: str, body: dict[str, str], output: dict[str, Any], field: str
) -> None:
    with answering(api, output):
        answer = api.http.post(url, json=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()[field] == output[field]
    refused = api.http.post(url, json={**body, "stream": True})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "stream")


@pytest.mark.parametrize(
    ("asked", "param", "code"),
    [
        ({"tools": [{"type": "function"}]}, "tools", "unsupported_parameter"),
        ({"logprobs": True}, "logprobs", "unsupported_parameter"),
        ({"presence_penalty": 1.0}, "presence_penalty", "unsupported_parameter"),
        ({"store": True}, "store", "unsupported_parameter"),
        ({"nonsense": 1}, "nonsense", "unknown_parameter"),
        ({"max_tokens": 0}, "max_tokens", "invalid_value"),
        ({"temperature": -1}, "temperature", "invalid_value"),
        ({"messages": None}, "messages", "missing_required_parameter"),
        ({"messages": []}, "messages", "invalid_value"),
        ({"stream": "yes"}, "stream", "invalid_value"),
        ({"stream_options": {"include_usage": True}}, "stream_options", "invalid_value"),
        ({"stream": True, "stream_options": {"other": 1}}, "stream_options", "unknown_parameter"),
        ({"model": "noop:s"}, "model", "invalid_value"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_stored(
    api: Api, asked: dict[str, Any], param: str, code: str
) -> None:
    body = {"model": "noop:g", "messages": HELLO, **asked}
    with pytest.raises(BadRequestError) as caught:
        client_of(api).post("/chat/completions", cast_to=object, body=body)
    assert (caught.value.param, caught.value.code) == (param, code)
    assert caught.value.type == "invalid_request_error"
    assert jobs_of(api) == []


def test_lists_of_prompts_and_echoes_are_refused(api: Api) -> None:
    for more in ({"prompt": ["a", "b"]}, {"prompt": [1, 2]}, {"echo": True}, {"suffix": "x"}, {"best_of": 3}):
        with pytest.raises(BadRequestError) as caught:
            client_of(api).completions.create(**{"model": "noop:g", "prompt": "x", **more})  # type: ignore[call-overload]
        assert caught.value.param in more


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b"[" * 200 + b"]" * 200])
def test_a_body_that_is_no_object_is_refused(api: Api, body: bytes) -> None:
    answer = api.http.post("/v1/chat/completions", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "malformed_body"


def test_a_model_that_is_not_served_is_not_found(api: Api) -> None:
    with pytest.raises(NotFoundError) as caught:
        client_of(api).chat.completions.create(model="gpt-9", messages=HELLO)
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


def test_a_body_that_is_too_large_is_refused(make_api: MakeApi) -> None:
    api = make_api(max_line_bytes=1000)
    with pytest.raises(APIStatusError) as caught:
        client_of(api).completions.create(model="noop:g", prompt="x" * 2000)
    assert caught.value.status_code == 413


def test_keys_are_asked_for_and_a_call_is_its_owners(make_api: MakeApi) -> None:
    api = make_api(api_keys=(KEY, f"{KEY}-2"))
    with pytest.raises(AuthenticationError) as caught:
        client_of(api, key="wrong-key-wrong-key-wrong-key").chat.completions.create(
            model="noop:g", messages=HELLO
        )
    assert caught.value.code == "not_authenticated"
    with answering(api, {"text": "Hi", "finish_reason": "stop"}):
        answer = client_of(api, key=KEY).chat.completions.create(model="noop:g", messages=HELLO)
    job = f"/v1/jobs/{answer.id.replace('chatcmpl-', 'job_')}"
    assert api.http.get(job, headers={"Authorization": f"Bearer {KEY}"}).status_code == 200
    assert api.http.get(job, headers={"Authorization": f"Bearer {KEY}-2"}).status_code == 404


def test_a_revoked_key_ends_its_call_and_cancels_it(make_api: MakeApi) -> None:
    admin = {"Authorization": "Bearer the-administrators-own-key"}
    api = make_api(admin_key="the-administrators-own-key")
    made = api.http.post("/v1/keys", json={"project": "default", "name": "k"}, headers=admin).json()

    def revoke() -> None:
        wait_until(lambda: api.store.backlog()["open_documents"])
        api.http.delete(f"/v1/keys/{made['id']}", headers=admin)

    thread = threading.Thread(target=revoke)
    thread.start()
    with pytest.raises(AuthenticationError):
        client_of(api, key=made["key"]).chat.completions.create(model="noop:g", messages=HELLO)
    thread.join(60)
    wait_until(lambda: not api.store.backlog()["open_documents"], what="the job is cancelled")


def test_limits_of_calls_are_those_of_jobs(make_api: MakeApi) -> None:
    api = make_api(max_owner_documents=1)
    api.submit("waiting")
    with pytest.raises(RateLimitError):
        client_of(api).chat.completions.create(model="noop:g", messages=HELLO)


@pytest.mark.parametrize(
    ("error", "kind"), [("too_long", BadRequestError), ("quarantined", InternalServerError)]
)
@pytest.mark.parametrize("is_streamed", [False, True])
def test_a_document_that_failed_is_an_error_and_not_tried_again(
    api: Api, error: str, kind: type[APIStatusError], is_streamed: bool
) -> None:
    with answering(api, {}, error=error), pytest.raises(kind) as caught:
        client_of(api, retries=2).chat.completions.create(model="noop:g", messages=HELLO, stream=is_streamed)
    assert (caught.value.code, caught.value.message.endswith("no'}}") or "no" in caught.value.message) == (
        error,
        True,
    )
    assert len(jobs_of(api)) == 1


def test_a_call_that_somebody_cancelled_says_so(api: Api) -> None:
    def cancel() -> None:
        wait_until(lambda: jobs_of(api))
        api.http.post(f"/v1/jobs/{jobs_of(api)[0]['id']}/cancel")

    thread = threading.Thread(target=cancel)
    thread.start()
    with pytest.raises(ConflictError) as caught:
        client_of(api, retries=2).chat.completions.create(model="noop:g", messages=HELLO)
    thread.join(60)
    assert caught.value.code == "cancelled"


def test_a_stream_that_fails_after_it_began_says_so_in_the_stream(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def first(pieces: Any) -> str:
        return ""  # as if nothing had come for long

    monkeypatch.setattr(calls, "_first", first)
    with answering(api, {}, error="too_long"):
        stream = client_of(api).chat.completions.create(model="noop:g", messages=HELLO, stream=True)
        with pytest.raises(APIError, match="no"):
            list(stream)


def test_an_idempotency_key_makes_one_job_of_two_equal_calls(api: Api) -> None:
    client: OpenAI = client_of(api)
    ask: Any = {
        "model": "noop:g", "messages": HELLO, "extra_headers": {"Idempotency-Key": "once"},
    }  # fmt: skip
    with answering(api, {"text": "Hi", "finish_reason": "stop"}):
        first = client.chat.completions.create(**ask)
    again = client.chat.completions.create(**ask)
    assert (again.id, again.choices[0].message.content) == (first.id, "Hi")
    assert len(jobs_of(api)) == 1


def test_usage_counts_calls(api: Api) -> None:
    with answering(api, {"text": "Hi", "finish_reason": "stop"}):
        client_of(api).chat.completions.create(model="noop:g", messages=HELLO)
    (row,) = api.http.get("/v1/usage").json()["data"]
    assert (row["documents"], row["input_tokens"], row["output_tokens"]) == (1, 7, 3)


def test_one_model_is_retrieved_by_the_stock_client(api: Api) -> None:
    client = client_of(api)
    model = client.models.retrieve("noop:g")
    assert (model.id, model.object, model.owned_by) == ("noop:g", "model", "textmill")
    with pytest.raises(NotFoundError):
        client.models.retrieve("gpt-9")
