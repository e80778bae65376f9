"""Requests of OpenAI's clients as rows of ours: what is kept, what is refused, and how it is named."""

from __future__ import annotations

from typing import Any

import pytest

from api.openai.body import BodyProblem
from api.openai.chat import read_chat
from api.openai.completions import read_completion
from api.openai.endpoints import ENDPOINTS, MIXED
from api.openai.lines import rows_of
from api.openai.ours import ANSWERS, SENTIMENT, TRANSLATIONS
from jobs.rows.formats import RawRow
from tests.support.openai_client import line

HELLO = [{"role": "user", "content": "Hello!"}]


def params_of(**body: Any) -> dict[str, Any]:
    return dict(read_chat({"model": "m", "messages": HELLO, **body}).fields["params"])


@pytest.mark.parametrize(
    ("body", "params"),
    [
        ({}, {}),
        ({"max_tokens": 9}, {"max_new_tokens": 9}),
        ({"max_completion_tokens": 9, "stop": ["\n"]}, {"max_new_tokens": 9, "stop": ["\n"]}),
        ({"temperature": 0}, {"do_sample": False}),
        # Greedy answers are the same each time, with any seed; top_p 1 asks for nothing.
        ({"temperature": 0.0, "seed": 7, "top_p": 1}, {"do_sample": False}),
        ({"temperature": 0, "top_p": 0.5}, {"do_sample": False, "top_p": 0.5}),  # refused with the rows
        ({"temperature": 0.7}, {"do_sample": True, "temperature": 0.7}),
        ({"temperature": 1, "top_p": 1}, {"do_sample": True, "temperature": 1, "top_p": 1}),
        ({"top_p": 0.9}, {"do_sample": True, "top_p": 0.9}),
        ({"top_p": 1}, {}),
        ({"seed": 7}, {"do_sample": True, "seed": 7}),
        ({"n": 3}, {"do_sample": True, "num_return_sequences": 3}),
        ({"n": 1}, {}),
        ({"n": 2, "num_beams": 4}, {"num_beams": 4, "num_return_sequences": 2}),
        ({"response_format": {"type": "json_object"}}, {"response_format": {"type": "json_object"}}),  # for the rows
        ({"repetition_penalty": 1.2, "do_sample": False}, {"repetition_penalty": 1.2, "do_sample": False}),
        # What asks for nothing passes: scripts spell defaults out.
        (
            {
                "frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {}, "logprobs": False, "stream": False,
                "tools": [], "tool_choice": None, "user": "u-1", "store": False,
                "metadata": {"a": "b"}, "top_logprobs": None, "modalities": ["text"], "service_tier": "auto",
            },
            {},
        ),
    ],
)  # fmt: skip
def test_decoding_is_asked_for_in_our_parameters(body: dict[str, Any], params: dict[str, Any]) -> None:
    assert params_of(**body) == params


@pytest.mark.parametrize(
    ("body", "param", "code"),
    [
        ({"tools": [{"type": "function"}]}, "tools", "unsupported_parameter"),
        ({"logprobs": True}, "logprobs", "unsupported_parameter"),
        ({"logprobs": 0}, "logprobs", "unsupported_parameter"),
        ({"top_logprobs": 3}, "top_logprobs", "unsupported_parameter"),
        ({"stream": True}, "stream", "unsupported_parameter"),
        ({"frequency_penalty": 0.5}, "frequency_penalty", "unsupported_parameter"),
        ({"presence_penalty": True}, "presence_penalty", "unsupported_parameter"),
        ({"logit_bias": {"50256": -100}}, "logit_bias", "unsupported_parameter"),
        ({"reasoning_effort": "low"}, "reasoning_effort", "unsupported_parameter"),
        ({"background": True}, "background", "unsupported_parameter"),
        ({"max_tokens": 4, "max_completion_tokens": 5}, "max_tokens", "invalid_value"),
        ({"temprature": 1}, "temprature", "unknown_parameter"),
        ({"params": {"seed": 1}}, "params", "unknown_parameter"),
        ({"messages": None}, "messages", "missing_required_parameter"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages[0].content[0]", "unsupported_parameter",
        ),
    ],
)  # fmt: skip
def test_what_is_not_served_is_refused_by_name(body: dict[str, Any], param: str, code: str) -> None:
    with pytest.raises(BodyProblem) as caught:
        params_of(**body)
    assert (caught.value.param, caught.value.code) == (param, code)


def test_a_chat_has_plain_messages() -> None:
    read = read_chat(
        {
            "messages": [
                {"role": "developer", "content": "Be brief."},
                {
                    "role": "user",
                    "content": [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}],
                },
                # An answer, repeated as it came.
                {"role": "assistant", "content": "3", "refusal": None, "annotations": [], "tool_calls": None},
                {"role": "user", "content": "Why?", "name": "Ada"},
            ],
            "max_completion_tokens": 5,
        }
    )
    assert read.fields["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One.\nTwo."},
        {"role": "assistant", "content": "3"},
        {"role": "user", "content": "Why?", "name": "Ada"},  # left to the check of rows, which refuses it
    ]
    assert read.names == {"params.max_new_tokens": "max_completion_tokens"}


def test_a_completion_has_sixteen_tokens_unless_it_says_more() -> None:
    read = read_completion({"model": "m", "prompt": "Once"})
    assert read.fields == {
        "task": "generation",
        "model": "m",
        "text": "Once",
        "params": {"max_new_tokens": 16},
    }
    assert read.names["text"] == "prompt"
    assert read_completion({"prompt": ["Once"], "max_tokens": 3}).fields["params"] == {"max_new_tokens": 3}
    assert read_completion({"prompt": "a", "max_length": 3}).fields["params"] == {"max_length": 3}
    assert (
        read_completion({"prompt": "a", "best_of": 2, "n": 2}).fields["params"]["num_return_sequences"] == 2
    )


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"prompt": [[1, 2]]}, "prompt"),
        ({"prompt": [1, 2]}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({}, "prompt"),
        ({"prompt": "a", "echo": True}, "echo"),
        ({"prompt": "a", "suffix": "z"}, "suffix"),
        ({"prompt": "a", "logprobs": 0}, "logprobs"),
        ({"prompt": "a", "best_of": 3}, "best_of"),
    ],
)
def test_a_completion_that_is_none_of_ours_is_refused_by_name(body: dict[str, Any], param: str) -> None:
    with pytest.raises(BodyProblem) as caught:
        read_completion(body)
    assert caught.value.param == param


def test_our_own_tasks_take_their_parameters_beside_the_text() -> None:
    read = TRANSLATIONS.read({"model": "m", "input": "Hello", "target_language": "fr", "num_beams": 2})
    assert read.fields == {
        "task": "translation", "model": "m", "text": "Hello", "params": {"target_language": "fr", "num_beams": 2},
    }  # fmt: skip
    assert SENTIMENT.read({"text": "Good"}).fields["text"] == "Good"
    read = ANSWERS.read({"question": "Who?", "context": "Ada.", "top_k": 2})
    assert read.fields == {
        "task": "qa",
        "model": None,
        "text": "Who?",
        "context": "Ada.",
        "params": {"top_k": 2},
    }
    assert read.names["text"] == "question"
    for task, body, param in (
        (ANSWERS, {"question": "Who?"}, "context"),
        (ANSWERS, {"context": "Ada."}, "question"),
        (SENTIMENT, {"input": "a", "text": "b"}, "text"),
        (SENTIMENT, {"input": "a", "context": "b"}, "context"),
        (SENTIMENT, {"input": "a", "target_language": "fr"}, "target_language"),
    ):
        with pytest.raises(BodyProblem) as caught:
            task.read(body)
        assert caught.value.param == param


def _row(fields: dict[str, Any], endpoint: str = "/v1/chat/completions") -> RawRow:
    (found,) = rows_of([RawRow(4, fields)], endpoint)
    assert found.line == 4
    return found


GOOD = line("a", "/v1/chat/completions", {"model": "m", "messages": HELLO})


@pytest.mark.parametrize(
    ("change", "param", "code"),
    [
        ({"custom_id": None}, "custom_id", "missing_required_parameter"),
        ({"custom_id": 7}, "custom_id", "invalid_value"),
        ({"custom_id": "x" * 513}, "custom_id", "invalid_value"),
        ({"method": None}, "method", "missing_required_parameter"),
        ({"method": "GET"}, "method", "invalid_method"),
        ({"url": None}, "url", "missing_required_parameter"),
        ({"url": "/v1/completions"}, "url", "invalid_url"),
        ({"url": 5}, "url", "invalid_url"),
        ({"body": None}, "body", "missing_required_parameter"),
        ({"body": []}, "body", "invalid_value"),
        ({"priority": 1}, "priority", "unknown_parameter"),
        ({"body": {"model": "m", "messages": HELLO, "tools": [1]}}, "body.tools", "unsupported_parameter"),
    ],
)
def test_a_wrong_line_is_named_by_field_and_code(change: dict[str, Any], param: str, code: str) -> None:
    found = _row({**GOOD, **change})
    assert found.fields is None
    assert (found.problem_field, found.problem_code) == (param, code)
    assert found.problem


def test_a_line_that_is_no_json_says_so() -> None:
    (found,) = rows_of([RawRow(9, None, "not valid JSON: no")], "/v1/completions")
    assert (found.line, found.problem_code, found.problem) == (9, "invalid_json_line", "not valid JSON: no")


def test_a_line_nested_too_deep_is_refused_before_anybody_reads_it() -> None:
    deep: Any = "x"
    for _ in range(200):
        deep = [deep]
    assert _row({**GOOD, "body": {"messages": deep}}).problem_field == "body"


def test_lines_of_several_endpoints_are_for_a_batch_of_all() -> None:
    for url in ENDPOINTS:
        body = {"messages": HELLO} if "chat" in url else {"prompt": "a"} if url == "/v1/completions" else {}
        if not body:
            body = {"input": "a", "context": "b"} if url == "/v1/answers" else {"input": "a"}
        found = _row(line("a", url, body), MIXED)
        assert found.fields is not None, found.problem
        assert found.fields["metadata"] == {"url": url}
    assert _row(line("a", "/v1/embeddings", {}), MIXED).problem_code == "invalid_url"
    assert _row(line("a", MIXED, {}), MIXED).problem_code == "invalid_url"
