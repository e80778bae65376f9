"""Parameters: transformers' names, their ranges, and what goes together."""

from __future__ import annotations

from typing import Any

import pytest
import transformers

from jobs.params import InvalidParams, validate_params
from jobs.records import Task

OURS = {
    "stop", "seed", "add_special_tokens", "parse_special_tokens",
    "json_schema", "regex", "choice", "grammar", "response_format",
}  # fmt: skip


def test_every_decoding_parameter_is_one_of_transformers_own() -> None:
    from jobs.params import GenerationParams

    known = set(transformers.GenerationConfig().to_dict())
    assert set(GenerationParams.model_fields) - OURS <= known


@pytest.mark.parametrize(
    ("task", "params"),
    [
        (Task.GENERATION, {"max_length": 100, "temperature": 0.7, "do_sample": True, "seed": 1}),
        (Task.GENERATION, {"num_beams": 4, "num_return_sequences": 4, "early_stopping": "never"}),
        (Task.TRANSLATION, {"source_language": "eng_Latn", "target_language": "deu_Latn"}),
        (Task.GENERATION, {"do_sample": True, "num_beams": 3, "top_p": 0.8}),
        (Task.GENERATION, {"add_special_tokens": False, "parse_special_tokens": True}),
        (Task.QA, {"top_k": 3, "max_answer_length": 30, "allow_no_answer": True}),
        (Task.SENTIMENT, {"top_k": 2}),
        (Task.SENTIMENT, {}),
    ],
)
def test_what_users_know_from_transformers_is_taken_as_it_is(task: Task, params: dict[str, Any]) -> None:
    assert validate_params(task, params) == params


def test_a_single_stop_string_is_a_list_of_one() -> None:
    assert validate_params(Task.GENERATION, {"stop": "\n"}) == {"stop": ["\n"]}


@pytest.mark.parametrize(
    ("task", "params", "field", "message"),
    [
        (Task.GENERATION, {"temperature": 0}, "params.temperature", "greater than 0"),
        (Task.GENERATION, {"temperature": 1e-40, "do_sample": True}, "params.temperature", "at least 1e-20"),
        (Task.GENERATION, {"stop": 2}, "params.stop", "a string of 1 to 200 characters, or a list"),
        (Task.GENERATION, {"stop": [""]}, "params.stop", "a string of 1 to 200 characters, or a list"),
        (Task.GENERATION, {"early_stopping": "maybe", "num_beams": 2}, "params.early_stopping", '"never"'),
        (Task.TRANSLATION, {"repetition_penalty": 1e-40}, "params.repetition_penalty", "0.000001"),
        (Task.GENERATION, {"temperature": float("nan")}, "params.temperature", "finite"),
        (Task.GENERATION, {"top_p": 1.5}, "params.top_p", "less than or equal to 1"),
        (Task.GENERATION, {"max_new_tokens": "10"}, "params.max_new_tokens", "integer"),
        (Task.GENERATION, {"max_new_tokens": True}, "params.max_new_tokens", "integer"),
        (Task.GENERATION, {"max_new_tokens": 5, "max_length": 9}, "params.max_length", "not both"),
        (Task.TRANSLATION, {"num_return_sequences": 2, "num_beams": 2}, "params.num_return_sequences", "one"),
        (Task.TRANSLATION, {"add_special_tokens": False}, "params.add_special_tokens", "add_special_tokens"),
        (Task.SENTIMENT, {"max_new_tokens": 5}, "params.max_new_tokens", "allowed: parse_special_tokens"),
        (Task.QA, {"top_k": 0}, "params.top_k", "greater than or equal to 1"),
    ],
)
def test_a_wrong_parameter_is_named_with_what_is_allowed(
    task: Task, params: dict[str, Any], field: str, message: str
) -> None:
    with pytest.raises(InvalidParams) as caught:
        validate_params(task, params)
    assert [name for name, _ in caught.value.problems] == [field]
    assert message in caught.value.problems[0][1]


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(InvalidParams) as caught:
        validate_params(Task.GENERATION, {"top_k": -1, "top_p": 7, "nonsense": 1})
    assert {field for field, _ in caught.value.problems} == {
        "params.top_k",
        "params.top_p",
        "params.nonsense",
    }
