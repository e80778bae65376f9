"""`/v1/responses` by the stock client: single, streamed, and as lines of a batch."""

from __future__ import annotations

from typing import Any

import pytest
from openai import BadRequestError

from tests.support.openai_client import line, read_lines
from tests.unit.api.conftest import Api
from tests.unit.api.test_calls import answering
from tests.unit.api.test_openai_batches import client_of, create, job_of

HI = {"text": "Hi there", "finish_reason": "stop"}


def test_a_text_with_instructions_is_a_chat(api: Api) -> None:
    with answering(api, HI) as given:
        answer = client_of(api).responses.create(
            model="noop:g", input="Hello!", instructions="Be brief.", max_output_tokens=5, temperature=0
        )
    assert answer.output_text == "Hi there"
    assert (answer.status, answer.error, answer.incomplete_details) == ("completed", None, None)
    assert answer.usage is not None
    assert (answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.total_tokens) == (7, 3, 10)
    assert [dict(each) for each in given[0].messages or ()] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello!"},
    ]
    assert given[0].params == {"max_new_tokens": 5, "do_sample": False}


def test_a_conversation_goes_on_with_the_answers_it_had(api: Api) -> None:
    with answering(api, HI):
        first = client_of(api).responses.create(model="noop:g", input="Hello!")
    conversation: list[Any] = [
        {"role": "user", "content": [{"type": "input_text", "text": "Hello!"}]},
        *(item.model_dump() for item in first.output),
        {"role": "user", "content": "And now?"},
    ]
    with answering(api, HI) as given:
        client_of(api).responses.create(model="noop:g", input=conversation)
    assert [dict(each) for each in given[0].messages or ()] == [
        {"role": "user", "content": "Hello!"},
        {"role": "assistant", "content": "Hi there"},
        {"role": "user", "content": "And now?"},
    ]


def test_what_is_cut_by_length_is_incomplete(api: Api) -> None:
    with answering(api, {"text": "Hi", "finish_reason": "length"}):
        answer = client_of(api).responses.create(model="noop:g", input="Hello!")
    assert answer.status == "incomplete"
    assert answer.incomplete_details is not None
    assert answer.incomplete_details.reason == "max_output_tokens"


def test_a_stream_is_put_together_by_the_clients_own_helper(api: Api) -> None:
    """It checks the order of events, and that the pieces are the whole."""
    with answering(api, HI), client_of(api).responses.stream(model="noop:g", input="Hello!") as stream:
        events = list(stream)
        final = stream.get_final_response()
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    assert (
        "".join(event.delta for event in events if event.type == "response.output_text.delta") == "Hi there"
    )
    assert final.output_text == "Hi there"


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"previous_response_id": "resp_1"}, "previous_response_id"),
        ({"store": True}, "store"),
        ({"background": True}, "background"),
        ({"n": 2}, "n"),
        ({"max_tokens": 3}, "max_tokens"),
        ({"reasoning": {"effort": "high"}}, "reasoning"),
        ({"text": {"format": {"type": "json_object"}}}, "text"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]}, "input[0]"),
        ({"input": 3}, "input"),
        ({"input": None}, "input"),
        ({"truncation": "auto"}, "truncation"),
    ],
)
def test_what_is_not_served_is_named(api: Api, asked: dict[str, Any], param: str) -> None:
    body = {"model": "noop:g", "input": "Hello!", **asked}
    with pytest.raises(BadRequestError) as caught:
        client_of(api).post("/responses", cast_to=object, body=body)
    assert caught.value.param == param


def test_lines_of_a_batch_may_be_responses(api: Api) -> None:
    client = client_of(api)
    url = "/v1/responses"
    batch = create(client, [line("a", url, {"model": "noop:g", "input": "Hello!"})], endpoint=url)
    assert batch.errors is None
    api.work_off(job_of(batch), output=lambda _: HI)
    batch = client.batches.retrieve(batch.id)
    (found,) = read_lines(client.files.content(str(batch.output_file_id)).text)
    body = found["response"]["body"]
    assert (body["object"], body["output"][0]["content"][0]["text"]) == ("response", "Hi there")
    refused = create(
        client, [line("a", url, {"model": "noop:g", "input": "x", "stream": True})], endpoint=url
    )
    assert refused.errors is not None
    assert refused.errors.data is not None
    assert refused.errors.data[0].param == "body.stream"
