"""Grammars that a document may have to keep to: what is wrong with one is said before it is stored."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from jobs import grammars
from jobs.params import InvalidParams, validate_params
from jobs.records import Task
from jobs.rows.fitting import misfits
from models.decoding.grammars import notation
from models.decoding.grammars.vocabulary import LIMITS

SCHEMA = {"type": "object", "properties": {"b": {"type": "string"}, "a": {"const": None}}}


def problems_with(params: dict[str, Any], **more: Any) -> list[tuple[str, str]]:
    with pytest.raises(InvalidParams) as caught:
        validate_params(Task.GENERATION, params, **more)
    return caught.value.problems


@pytest.mark.parametrize(
    ("params", "field", "message"),
    [
        ({"json_schema": {"type": "array", "uniqueItems": True}}, "json_schema", "uniqueItems"),
        ({"json_schema": {"type": "text"}}, "json_schema", "Invalid type: text"),
        ({"json_schema": {"$ref": "https://example.com/a.json"}}, "json_schema", "does not fetch"),
        ({"json_schema": {"enum": [1], "type": "string"}}, "json_schema", "Unsatisfiable"),
        ({"json_schema": {"not": {}, "x-guidance": {"lenient": True}}}, "json_schema", '"not"'),
        ({"json_schema": {"$ref": "#"}}, "json_schema", "too complex"),
        ({"json_schema": True}, "json_schema", "must be a JSON schema"),
        ({"json_schema": SCHEMA, "regex": "a"}, "regex", "not both"),
        ({"regex": "a("}, "regex", "regex parse error"),
        ({"regex": "(?=a)"}, "regex", "cannot be read"),
        ({"regex": ""}, "regex", "at least 1 character"),
        ({"regex": "a\0"}, "regex", "NUL"),
        ({"choice": []}, "choice", "at least 1 item"),
        ({"choice": ["a", ""]}, "choice", "at least 1 character"),
        ({"choice": "a"}, "choice", "list"),
        ({"grammar": "start: nobody"}, "grammar", "unknown name"),
        ({"grammar": '{"grammars": [{"lark_grammar": "start: /a/"}]}'}, "grammar", "cannot be read"),
        ({"grammar": 'start: "a" <|im_end|>'}, "grammar", "special tokens"),
        ({"grammar": 'start: "a" <[5]>'}, "grammar", "special tokens"),
        ({"response_format": {"type": "yaml"}}, "response_format", "json_object"),
        ({"response_format": {"type": "json_schema"}}, "response_format", "json_object"),
        (
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "x", "schema": {"type": "x"}},
                }
            },
            "response_format",
            "Invalid type: x",
        ),
        ({"regex": "a", "num_beams": 2}, "num_beams", "does not go with a grammar"),
        ({"regex": "a", "stop": ["b"]}, "stop", "does not go with a grammar"),
        ({"regex": "a", "min_new_tokens": 2}, "min_new_tokens", "does not go with a grammar"),
        ({"regex": "a", "no_repeat_ngram_size": 2}, "no_repeat_ngram_size", "does not go with a grammar"),
    ],
)
def test_a_bad_grammar_is_refused_with_what_is_wrong(
    params: dict[str, Any], field: str, message: str
) -> None:
    ((found, why),) = problems_with(params)
    assert found == f"params.{field}"
    assert message in why


def test_openais_form_is_kept_as_the_schema_it_means() -> None:
    named = {"name": "person", "schema": SCHEMA, "strict": True}
    for asked, kept in (
        ({"type": "text"}, {}),
        ({"type": "json_object"}, {"json_schema": {"type": "object"}}),
        ({"type": "json_schema", "json_schema": named}, {"json_schema": SCHEMA}),
    ):
        assert validate_params(Task.GENERATION, {"response_format": asked}) == kept


def test_what_a_schema_holds_stays_as_it_was_sent_in_its_order() -> None:
    """Its properties are written in their order; what is null in it is no parameter left out."""
    kept = validate_params(Task.GENERATION, {"json_schema": SCHEMA})["json_schema"]
    assert json.dumps(kept) == json.dumps(SCHEMA)


@pytest.mark.parametrize("task", [Task.TRANSLATION, Task.SENTIMENT, Task.QA])
def test_other_tasks_have_no_grammars(task: Task) -> None:
    with pytest.raises(InvalidParams, match="unknown parameter 'regex'"):
        validate_params(task, {"regex": "a"})


def test_a_grammar_has_a_size() -> None:
    assert validate_params(Task.GENERATION, {"regex": "a" * 98}, max_grammar_bytes=100)
    ((_, why),) = problems_with({"regex": "a" * 99}, max_grammar_bytes=100)
    assert why == "has 101 bytes as JSON; 100 are accepted"


def _chain(count: int) -> str:
    return "\n".join(["start: r0", *(f"r{n}:r{n + 1}" for n in range(count)), f'r{count}:"y"'])


@pytest.mark.parametrize(
    "params",
    [
        {"grammar": _chain(4000)},  # ended the process: rules are read by calls in calls
        {"regex": "(a{1000}){1000}"},
        {"regex": "((((a{20}){20}){20}){20}){20}"},
        {"regex": "(a|a)*" * 1000},
        {"regex": "(" * 9000 + ")" * 9000},
        {"grammar": "start: " + "(" * 9000 + '"a"' + ")" * 9000},
        {"json_schema": {"enum": [f"v{number}" for number in range(4000)]}},
        {"json_schema": {"type": "object", "properties": {f"p{n}": {"type": "null"} for n in range(900)}}},
    ],
    ids=["chain", "square", "powers", "alternatives", "parentheses", "nested", "enum", "properties"],
)
def test_a_hostile_grammar_is_read_or_refused_within_bounds(params: dict[str, Any]) -> None:
    began = time.thread_time()
    list(grammars.problems_of(params, max_bytes=64 << 10))
    assert time.thread_time() - began < 2  # of this thread, which waits


def test_workers_read_grammars_as_they_were_checked() -> None:
    for name, value in (
        ("json_schema", SCHEMA),
        ("regex", "a/b"),
        ("choice", ["é\n", '"']),
        ("grammar", 'start: "a"'),
    ):
        assert grammars.notation_of(name, value) == notation.notation_of(name, value)
    assert grammars.NAMES == notation.NAMES
    assert grammars._LIMITS == LIMITS


@pytest.mark.parametrize(
    ("facts", "params", "message"),
    [
        ({"structured_output": "none", "why_no_structured_output": "no token ends its texts"}, {"regex": "a"}, "no token ends"),
        ({"structured_output": "choice", "unwritten_characters": "{}"}, {"regex": "a"}, "ask by `choice`"),
        ({"structured_output": "choice", "unwritten_characters": "{}"}, {"choice": ["ok", "a{"]}, "'{'"),
        ({"structured_output": "ascii"}, {"json_schema": {"const": "é"}}, "'é'"),
        ({"structured_output": "ascii"}, {"choice": ["a\n"]}, r"'\n'"),
    ],
)  # fmt: skip
def test_what_a_models_tokenizer_cannot_write_is_refused(
    facts: dict[str, Any], params: dict[str, Any], message: str
) -> None:
    ((field, why),) = misfits("m", facts, params, is_chat=False, is_translation=False)
    assert field == f"params.{next(iter(params))}"
    assert message in why


@pytest.mark.parametrize(
    ("facts", "params"),
    [
        ({}, {"regex": "é"}),
        ({"structured_output": "unicode"}, {"regex": "é"}),
        ({"structured_output": "ascii"}, {"regex": "a\nb"}),
        ({"structured_output": "choice", "unwritten_characters": "{}"}, {"choice": ["ok"]}),
        ({"structured_output": "none"}, {"do_sample": True}),
    ],
)
def test_what_it_can_write_or_nobody_has_told_is_let_in(
    facts: dict[str, Any], params: dict[str, Any]
) -> None:
    assert not list(misfits("m", facts, params, is_chat=False, is_translation=False))
