"""Parameters that a model would ignore fail their document, in the words of the edge."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import pytest

from jobs.combinations import Defaults, contradictions
from models.records import DocumentInput
from models.tasks.generation import GenerationEngine
from models.tasks.translation.task import TranslationEngine
from tests.support.engines import drain
from tests.support.tiny_models import Loader

DRAWN: dict[str, tuple[Any, ...]] = {
    "do_sample": (True, False),
    "temperature": (0.7, 1.0),
    "top_k": (5,),
    "top_p": (0.5, 1.0),
    "seed": (3,),
    "num_beams": (1, 2),
    "length_penalty": (1.0, 2.0),
    "early_stopping": (True, False),
}


def drawn(dice: random.Random) -> dict[str, Any]:
    return {name: dice.choice(DRAWN[name]) for name in dice.sample(sorted(DRAWN), dice.randint(1, 4))}


def test_h1_the_engine_refuses_exactly_what_the_edge_refuses_and_in_its_words(loaded: Loader) -> None:
    """H1: a document accepted before the model's defaults were known fails by name."""
    engine = GenerationEngine(loaded("generation", "gpt2"))
    defaults = Defaults.of(engine.describe())
    assert (defaults.samples, defaults.num_beams) == (False, 1)
    dice = random.Random(4)
    asked = [{**drawn(dice), "max_new_tokens": 1} for _ in range(60)]
    answered = drain(engine, [DocumentInput(key=n, text="The park", params=p) for n, p in enumerate(asked)])
    for number, params in enumerate(asked):
        said = [message for _, message in contradictions(params, defaults)]
        assert (answered[number].error_code == "invalid_parameter") == bool(said), params
        assert not said or answered[number].error_message in said


def test_h2_a_minimum_above_the_models_own_limit_is_refused_by_name(loaded: Loader) -> None:
    """H2: min_new_tokens=600 alone gave 128 tokens."""
    engine = GenerationEngine(loaded("generation", "llama"))
    answered = drain(engine, [DocumentInput(key=0, text="The park", params={"min_new_tokens": 600})])
    assert answered[0].error_code == "invalid_parameter"
    assert "min_new_tokens=600" in (answered[0].error_message or "")


@pytest.mark.parametrize(
    ("written", "fact"),
    [({"max_new_tokens": 7}, 7), ({"max_length": 40}, 39), ({}, 128)],
)
def test_an_engine_tells_how_it_decodes_when_it_is_not_told(
    written: dict[str, int], fact: int, loaded: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded("generation", "gpt2")
    config = model.model.generation_config
    for name in ("max_new_tokens", "max_length"):
        monkeypatch.setattr(config, name, written.get(name))
    monkeypatch.setattr(config, "do_sample", True)
    facts = GenerationEngine(dataclasses.replace(model)).describe()
    assert facts["samples_by_default"] is True
    assert facts["new_tokens_by_default"] == fact


def test_a_translation_model_with_beams_of_its_own_takes_their_parameters(
    loaded: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded("translation", "marian")
    monkeypatch.setattr(model.model.generation_config, "num_beams", 3)
    engine = TranslationEngine(model)
    assert engine.describe()["beams_by_default"] == 3
    params = {"length_penalty": 0.6, "max_new_tokens": 4}
    answered = drain(engine, [DocumentInput(key=0, text="The park", params=params)])
    assert answered[0].error_code is None
