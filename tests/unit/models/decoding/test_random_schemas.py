"""Random JSON schemas of the public kinds: every text that is finished is valid, by the standard's own checker."""

from __future__ import annotations

import json
import random

import jsonschema
import pytest

from jobs.grammars import problems_of
from models.loading.registry import LoadedModel
from models.records import DocumentInput
from models.tasks.generation import GenerationEngine
from tests.support.engines import drain
from tests.support.schemas import object_schema, random_schema
from tests.support.tiny_models import WORDS, Loader


def _expect_valid(model: LoadedModel, count: int, *, least_finished: float) -> None:
    draw = random.Random(21)
    schemas = [random_schema(draw, 3) if number % 2 else object_schema(draw) for number in range(count)]
    assert not [problem for schema in schemas for problem in problems_of({"json_schema": schema})]
    how = ({}, {"do_sample": True, "temperature": 0.8}, {"repetition_penalty": 1.2})
    documents = [
        DocumentInput(
            key=number,
            text=WORDS[number % len(WORDS)],
            params={
                "json_schema": schema, "max_new_tokens": 300, **how[number % 3],
                **({"seed": number} if number % 3 == 1 else {}),
            },
        )
        for number, schema in enumerate(schemas)
    ]  # fmt: skip
    answered = drain(GenerationEngine(model), documents)
    num_finished = 0
    for number, schema in enumerate(schemas):
        output = answered[number].output
        assert output is not None, (answered[number], schema)
        if output["finish_reason"] == "stop":
            num_finished += 1
            jsonschema.validate(json.loads(output["text"]), schema)
    assert num_finished >= least_finished * count


def test_finished_documents_are_valid_by_random_schemas(loaded: Loader) -> None:
    _expect_valid(loaded("generation", "gpt2"), 25, least_finished=0.6)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "count"), [("gpt2", 170), ("llama", 170), ("t5", 160)])
def test_finished_documents_are_valid_by_500_random_schemas(name: str, count: int, loaded: Loader) -> None:
    _expect_valid(loaded("generation", name), count, least_finished=0.6)
