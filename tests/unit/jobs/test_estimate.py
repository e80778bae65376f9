"""How much work a document is."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.estimate import Estimator, Load
from jobs.records import NewDocument, Task

FACTS = {"small": {"max_tokens": 1024, "new_tokens_by_default": 50, "beams_by_default": 4}}


def document(
    task: Task = Task.GENERATION, *, model: str = "m", text: str = "x" * 40, **params: Any
) -> NewDocument:
    return NewDocument(seq=0, custom_id="a", task=task, model=model, text=text, params=params)


def tokens(*arguments: Any, **options: Any) -> int:
    return Estimator(FACTS).tokens(document(*arguments, **options))


@pytest.mark.parametrize("task", [Task.GENERATION, Task.TRANSLATION])
def test_s22_beams_and_returned_sequences_count_as_what_they_cost(task: Task) -> None:
    """S22: 64 sequences counted as one, so that one document of 64 times the work was one of many."""
    one = tokens(task, max_new_tokens=10)
    prompt = tokens(Task.SENTIMENT)
    assert tokens(task, max_new_tokens=10, num_beams=4) - prompt == 4 * (one - prompt)
    assert tokens(task, max_new_tokens=10, num_beams=8, num_return_sequences=4) - prompt == 8 * (one - prompt)
    sampled = tokens(task, max_new_tokens=10, do_sample=True, num_return_sequences=64)
    assert sampled - prompt == 64 * (one - prompt)


def test_s22_no_more_tokens_are_counted_than_the_model_has_room_for() -> None:
    """S22: a million new tokens counted as 4,096, for a model of 1,024 positions as for any other."""
    asked = {"max_new_tokens": 1_000_000, "num_beams": 1}
    assert tokens(model="small", **asked) == 11 + 8 * (1024 - 11)
    assert tokens(model="unknown", **asked) == 11 + 8 * (16_384 - 11)


def test_what_the_client_leaves_open_is_what_the_model_does_by_itself() -> None:
    assert tokens(model="small") == 11 + 8 * 50 * 4
    assert tokens(model="unknown") == 11 + 8 * 128


def test_max_length_counts_the_prompt() -> None:
    assert tokens(max_length=31) == tokens(max_new_tokens=20)
    assert tokens(max_length=5) == tokens(max_new_tokens=1)


def test_a_translation_is_about_as_long_as_its_text_unless_less_was_asked() -> None:
    assert tokens(Task.TRANSLATION) == 11 + 8 * 11
    assert tokens(Task.TRANSLATION, max_new_tokens=5) == 11 + 8 * 5
    assert tokens(Task.TRANSLATION, max_new_tokens=500) == 11 + 8 * 11


def test_a_prompt_that_fills_its_model_costs_a_token_more_at_least() -> None:
    prompt = 5000 // 4 + 1
    assert tokens(model="small", text="x" * 5000, num_beams=1) == prompt + 8


def test_what_passes_is_counted() -> None:
    load = Load(Estimator())
    passed = list(load.counting([document(max_new_tokens=3), document(Task.QA)]))
    assert len(passed) == load.documents == 2
    assert load.tokens == (11 + 24) + 11
