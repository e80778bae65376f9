"""What goes together, and what a model would ignore: transformers' own warnings are the measure."""

from __future__ import annotations

import random
import re
import warnings
from types import SimpleNamespace
from typing import Any

import pytest
import transformers
from transformers import GenerationConfig, GenerationMixin

from jobs.combinations import BEAMS, SAMPLING, UNKNOWN, Defaults, contradictions
from jobs.params import InvalidParams, validate_params
from jobs.records import Task

#: A model that does what transformers does when nothing says otherwise.
GREEDY = Defaults(samples=False, num_beams=1, max_new_tokens=20)
SAMPLING_MODEL = Defaults(samples=True, num_beams=1)
BEAM_MODEL = Defaults(samples=False, num_beams=4)
DRAWN: dict[str, tuple[Any, ...]] = {
    "do_sample": (True, False),
    "temperature": (0.7, 1.0, 1.9),
    "top_k": (0, 5, 50),
    "top_p": (0.5, 1.0),
    "num_beams": (1, 2, 4),
    "length_penalty": (-1.0, 0.0, 1.0, 2.0),
    "early_stopping": (True, False, "never"),
    "repetition_penalty": (1.0, 1.3),
    "no_repeat_ngram_size": (0, 2),
    "num_return_sequences": (1, 2, 5),
}


def refused(params: dict[str, Any], defaults: Defaults = GREEDY) -> set[str]:
    return {name for name, _ in contradictions(params, defaults)}


def draw(dice: random.Random, names: dict[str, tuple[Any, ...]]) -> dict[str, Any]:
    chosen = dice.sample(sorted(names), dice.randint(1, 5))
    return {name: dice.choice(names[name]) for name in chosen}


def ignored_by_transformers(params: dict[str, Any], **defaults: Any) -> set[str] | None:
    """The parameters it warns of as not looked at; None: it raises, whatever the reason."""
    try:
        config = GenerationConfig(**{**defaults, **params})
        config.validate(strict=True, user_set_attributes=set(params))
    except ValueError as error:
        return set(re.findall(r"^- `(\w+)`:", str(error), re.M)) or None
    return set()


def test_h1_whatever_transformers_warns_of_as_ignored_is_refused_by_name() -> None:
    """H1: temperature, top_k and seed without do_sample were taken, and did nothing."""
    dice = random.Random(1)
    for _ in range(4000):
        params = draw(dice, DRAWN)
        theirs, ours = ignored_by_transformers(params), refused(params)
        if theirs is None:
            assert ours, params
        else:
            assert theirs <= ours, params


def test_what_is_taken_gives_transformers_nothing_to_warn_of() -> None:
    dice = random.Random(2)
    taken = 0
    for _ in range(4000):
        params = draw(dice, DRAWN)
        if not refused(params):
            taken += 1
            assert ignored_by_transformers(params) == set(), params
    assert taken > 500


@pytest.mark.parametrize(
    ("defaults", "as_config"),
    [(SAMPLING_MODEL, {"do_sample": True}), (BEAM_MODEL, {"num_beams": 4, "do_sample": False})],
)
def test_a_models_own_defaults_count(defaults: Defaults, as_config: dict[str, Any]) -> None:
    dice = random.Random(3)
    for _ in range(2000):
        params = draw(dice, DRAWN)
        theirs = ignored_by_transformers(params, **as_config)
        assert (theirs is None and refused(params, defaults)) or (theirs or set()) <= refused(
            params, defaults
        ), params


@pytest.mark.parametrize("name", SAMPLING)
def test_h1_a_sampling_parameter_alone_is_taken_only_where_the_model_samples(name: str) -> None:
    params = {name: 1}
    assert refused(params) == {name}
    assert refused(params, SAMPLING_MODEL) == set()
    assert refused(params, UNKNOWN) == set()  # the worker that has the model will know
    assert refused({**params, "do_sample": True}) == set()
    message = dict(contradictions(params, GREEDY))[name]
    assert name in message
    assert "do_sample=true" in message


@pytest.mark.parametrize(("name", "value"), [("length_penalty", 2.0), ("early_stopping", True)])
def test_a_beam_parameter_is_taken_only_where_there_are_beams(name: str, value: object) -> None:
    assert name in BEAMS
    assert refused({name: value}) == {name}
    assert refused({name: value}, BEAM_MODEL) == set()
    assert refused({name: value, "num_beams": 1}, BEAM_MODEL) == {name}
    assert refused({name: value, "num_beams": 2}) == set()


def test_values_that_change_nothing_are_no_contradiction() -> None:
    assert refused({"do_sample": False, "temperature": 1.0, "top_p": 1.0}) == set()
    assert refused({"length_penalty": 1.0, "early_stopping": False}) == set()
    assert refused({"repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "num_return_sequences": 1}) == set()


def unfeasible_to_transformers(params: dict[str, Any], *, prompt_tokens: int, default: int) -> bool:
    config = GenerationConfig(**params)
    if config.max_new_tokens is not None:
        config.max_length = config.max_new_tokens + prompt_tokens
    elif config.max_length is None:
        config.max_length = default + prompt_tokens
    model = SimpleNamespace(config=SimpleNamespace(is_encoder_decoder=False))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            GenerationMixin._validate_generated_length(
                model,  # type: ignore[arg-type]
                config,
                prompt_tokens,
                has_default_max_length=False,
            )
        except ValueError:
            return True
    return any("Unfeasible" in str(warning.message) for warning in caught)


def test_h2_a_minimum_that_cannot_be_reached_by_any_prompt_is_refused() -> None:
    """H2: min_new_tokens=200 with max_length=20, and 600 alone, were taken; 11 and 128 tokens came."""
    for least in (0, 1, 3, 4, 5, 20, 21, 600):
        for limit in ({}, {"max_new_tokens": 4}, {"max_length": 5}, {"max_length": 1}):
            params = {"min_new_tokens": least, **limit}
            theirs = unfeasible_to_transformers(params, prompt_tokens=1, default=20)
            assert bool(refused(params)) == theirs, params


@pytest.mark.parametrize(
    ("params", "field", "message"),
    [
        ({"min_new_tokens": 200, "max_length": 20}, "params.min_new_tokens", "max_length=20"),
        ({"min_new_tokens": 600}, "params.min_new_tokens", "20 new tokens"),
        ({"min_new_tokens": 9, "max_new_tokens": 5}, "params.min_new_tokens", "max_new_tokens=5"),
        ({"max_new_tokens": 5, "max_length": 9}, "params.max_length", "not both"),
        ({"temperature": 1.9, "top_k": 50, "seed": 1}, "params.temperature", "do_sample=true"),
        ({"temperature": 0}, "params.temperature", "do_sample=false"),
        ({"temperature": 0.0, "do_sample": True}, "params.temperature", "do_sample=false"),
        ({"num_return_sequences": 3}, "params.num_return_sequences", "do_sample=true"),
        ({"num_return_sequences": 3, "num_beams": 2}, "params.num_return_sequences", "num_beams=2"),
    ],
)
def test_a_refusal_names_the_parameter_and_the_way_out(
    params: dict[str, Any], field: str, message: str
) -> None:
    with pytest.raises(InvalidParams) as caught:
        validate_params(Task.GENERATION, params, GREEDY)
    assert caught.value.problems[0][0] == field
    assert message in caught.value.problems[0][1]


def test_translation_is_held_to_the_same_rules() -> None:
    with pytest.raises(InvalidParams, match="do_sample"):
        validate_params(Task.TRANSLATION, {"temperature": 0.5}, BEAM_MODEL)


def test_the_sampling_parameters_are_those_of_transformers_and_the_seed() -> None:
    assert set(SAMPLING) - {"seed"} <= set(transformers.GenerationConfig().to_dict())


def test_what_a_worker_tells_of_a_model_is_what_it_does_by_itself() -> None:
    told = {
        "samples_by_default": True,
        "beams_by_default": 4,
        "new_tokens_by_default": 60,
        "dtype": "float32",
    }
    assert Defaults.of(told) == Defaults(samples=True, num_beams=4, max_new_tokens=60)
    assert Defaults.of({}) == Defaults(samples=None, num_beams=None, max_new_tokens=None)
