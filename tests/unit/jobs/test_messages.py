"""Rows with a chat instead of a text."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from jobs.blocks import in_blocks
from jobs.estimate import Estimator
from jobs.records import NewDocument, NewJob, Task
from jobs.rows.messages import InvalidMessages, chat_of
from jobs.rows.validation import RowValidator
from tests.support.rows import rows_of_objects
from tests.unit.jobs.test_rows import CATALOGUE, problems_of, validated

CHAT = [{"role": "system", "content": ""}, {"role": "user", "content": " Hello\n there "}]


def _problem(row: dict[str, Any], **job: Any) -> tuple[str | None, str]:
    (problem,) = problems_of(orjson.dumps(row).decode(), **job)
    assert problem.line == 1
    return problem.field, problem.message


def test_a_chat_is_taken_as_it_was_sent() -> None:
    row = {"custom_id": "a", "messages": CHAT, "params": {"max_new_tokens": 3}}
    (document,) = validated(rows_of_objects([row]), task=Task.GENERATION)
    assert document.messages == CHAT
    assert document.text == ""
    assert document.params == {"max_new_tokens": 3}


@pytest.mark.parametrize(
    ("messages", "field", "message"),
    [
        ([], "messages", "must be a list"),
        ("Hello", "messages", "must be a list"),
        ({"role": "user", "content": "x"}, "messages", "must be a list"),
        (["Hello"], "messages[0]", "must be an object"),
        ([*CHAT, {"role": "user"}], "messages[2].content", "is missing"),
        ([{"content": "x"}], "messages[0].role", "is missing"),
        ([{"role": "user", "content": 5}], "messages[0].content", "must be a string, not int"),
        ([{"role": "user", "content": ["x"]}], "messages[0].content", "must be a string, not list"),
        ([{"role": " ", "content": "x"}], "messages[0].role", "must name who speaks"),
        ([{"role": "user", "content": "x", "name": "Ada"}], "messages[0].name", "role and content"),
        ([{"role": "user", "content": "a\x00b"}], "messages[0].content", "NUL character at position 1"),
    ],
)
def test_what_is_no_chat_is_refused_by_row_and_place(messages: Any, field: str, message: str) -> None:
    found = _problem({"messages": messages}, task=Task.GENERATION)
    assert found[0] == field
    assert message in found[1]


def test_a_chat_has_ten_thousand_messages_and_a_role_64_characters_at_most() -> None:
    def taken(chat: list[dict[str, str]]) -> object:
        return chat_of({"messages": chat}, Task.GENERATION, lambda field, text: None)

    most = [{"role": "r" * 64, "content": "x"}] * 10_000
    assert taken(most) == most
    with pytest.raises(InvalidMessages, match="messages: has 10001 messages; at most 10000"):
        taken([*most, most[0]])
    with pytest.raises(InvalidMessages, match=r"messages\[0\].role"):
        taken([{"role": "r" * 65, "content": "x"}])


def test_a_chat_that_is_not_taken_is_named_by_its_field() -> None:
    assert _problem({"messages": CHAT}, task=Task.TRANSLATION)[0] == "messages"
    assert _problem({"text": "x", "messages": CHAT}, task=Task.GENERATION)[0] == "messages"


def test_a_row_has_a_text_or_a_chat_and_only_generation_takes_a_chat() -> None:
    assert "not both" in _problem({"text": "x", "messages": CHAT}, task=Task.GENERATION)[1]
    for task in (Task.TRANSLATION, Task.SENTIMENT):
        assert "messages are for generation" in _problem({"messages": CHAT}, task=task)[1]
    field, message = _problem({"custom_id": "a"}, task=Task.GENERATION)
    assert field == "text"
    assert "text is missing" in message


def test_a_chat_counts_with_all_it_says() -> None:
    long = [{"role": "user", "content": "x" * 4000}] * 3
    chat = NewDocument(seq=0, custom_id="a", task=Task.GENERATION, model="m", text="", messages=long)
    text = NewDocument(seq=0, custom_id="a", task=Task.GENERATION, model="m", text="x" * 12_000)
    assert chat.num_characters == text.num_characters == 12_000
    assert Estimator().tokens(chat) == Estimator().tokens(text)
    assert len(list(in_blocks([chat] * 400))) == len(list(in_blocks([text] * 400))) > 1


def test_other_rows_of_a_job_may_have_texts() -> None:
    rows = rows_of_objects([{"text": "x", "task": "sentiment"}, {"messages": CHAT, "task": "generation"}])
    found = list(RowValidator(NewJob(owner="o"), CATALOGUE, max_documents=9).documents(rows))
    assert [document.messages for document in found] == [None, CHAT]
