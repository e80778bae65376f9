"""Groups whose tokens the device does not choose, in any company, against `generate` for each document alone."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import transformers as hf

from models.decoding.parameters.prompt import Decoded, Prompt
from models.decoding.sampling.group_choice import GroupChoice
from models.errors import DocumentError, NotFinite
from tests.support import groups
from tests.support.decoding import decode_with_random_arrivals, expect_each_alone, random_prompts
from tests.support.groups import TIGHT, layout_of, make_group_core, prompts_of
from tests.support.tiny_models import Loader, TinyModels

_DECODERS = ("gpt2", "llama")


@pytest.fixture(autouse=True, params=["reference", "cpu"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test runs by plain torch and by the kernels of CPUs."""
    monkeypatch.setattr(groups, "kernels", request.param)


def _loaded(name: str, loaded: Loader) -> Any:
    return loaded("generation" if name in _DECODERS else "translation", name)


def _plain(name: str, tiny_models: TinyModels) -> Any:
    kind: Any = hf.AutoModelForCausalLM if name in _DECODERS else hf.AutoModelForSeq2SeqLM
    return kind.from_pretrained(tiny_models[name]).eval()


@pytest.mark.parametrize("name", [*_DECODERS, "t5", "marian", "bart", "nllb"])
def test_documents_of_every_kind_in_any_company_equal_each_alone(
    name: str, loaded: Loader, tiny_models: TinyModels
) -> None:
    """Bans and penalties beside beams, drawn beams, several sampled sequences, stop strings; and plain beams."""
    model = _loaded(name, loaded)
    prompts = random_prompts(model, 80 if name in _DECODERS else 40, seed=11, longest=12)
    if name in _DECODERS:  # rows that are alone go by another core
        prompts = [prompt for prompt in prompts if prompt.num_rows > 1]
    core, program = make_group_core(model, layout=layout_of(name))
    assert all(map(core.serves, prompts))
    results = decode_with_random_arrivals(core, prompts, seed=8)
    expect_each_alone(results, prompts, _plain(name, tiny_models), model.tokenizer)
    assert program.pages.num_bytes == 0


@pytest.mark.parametrize("name", ["llama", "t5"])
def test_searches_of_any_width_equal_each_alone(name: str, loaded: Loader, tiny_models: TinyModels) -> None:
    """More than 16 beams, and more candidates than a step of the device has places for."""
    model = _loaded(name, loaded)
    ways: tuple[dict[str, Any], ...] = (
        {"num_beams": 17, "num_return_sequences": 17},
        {"num_beams": 24, "length_penalty": 2.0, "early_stopping": True},
        {"num_beams": 30, "repetition_penalty": 1.5},
        {"num_beams": 2},
        {"do_sample": True, "num_beams": 18, "top_k": 30},
    )
    prompts = prompts_of(model, 12, seed=3, ways=ways)
    core, _ = make_group_core(model, dataclasses.replace(TIGHT, max_rows=40, num_pages=400))
    assert all(map(core.serves, prompts))
    results = decode_with_random_arrivals(core, prompts, seed=5)
    expect_each_alone(results, prompts, _plain(name, tiny_models), model.tokenizer)


@pytest.mark.parametrize("name", ["gpt2", "marian"])
def test_sampled_documents_keep_their_own_minimum_in_company(
    name: str, loaded: Loader, tiny_models: TinyModels
) -> None:
    """W1: what was active at the first document's length was applied to all of its group."""
    model = _loaded(name, loaded)
    ways: tuple[dict[str, Any], ...] = (
        {"do_sample": True, "top_p": 0.7, "min_new_tokens": 7, "num_return_sequences": 2},
        {"do_sample": True, "temperature": 4.0, "top_k": 0, "min_new_tokens": 10, "num_return_sequences": 4},
        {"do_sample": True, "num_beams": 3, "min_new_tokens": 3},
    )
    prompts = prompts_of(model, 30, seed=4, ways=ways)
    core, _ = make_group_core(model)
    results = decode_with_random_arrivals(core, prompts, seed=3)
    expect_each_alone(results, prompts, _plain(name, tiny_models), model.tokenizer)


@pytest.mark.parametrize("name", ["llama", "marian"])
def test_a_choice_that_raises_fails_alone(name: str, loaded: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _loaded(name, loaded)
    ways: tuple[dict[str, Any], ...] = ({"num_beams": 2, "no_repeat_ngram_size": 2}, {"num_beams": 3})
    prompts = prompts_of(model, 8, seed=6, ways=ways)
    bad = Prompt(
        input_ids=[5, 6, 7], max_new_tokens=9, params={"num_beams": 2, "repetition_penalty": 9.0}, num_rows=2
    )
    wanted = decode_with_random_arrivals(make_group_core(model)[0], prompts, seed=2)
    choose = GroupChoice._processed

    def picky(self: Any, sequences: Any, scores: Any) -> Any:
        if self._options.config.repetition_penalty == 9.0 and len(sequences[0]) == 3:
            raise ValueError("nine")
        return choose(self, sequences, scores)

    monkeypatch.setattr(GroupChoice, "_processed", picky)
    results = dict(decode_with_random_arrivals(make_group_core(model)[0], [*prompts, bad], seed=2))
    failed = results.pop(len(prompts))
    assert isinstance(failed, DocumentError)
    assert "nine" in str(failed)
    assert results == wanted


@pytest.mark.parametrize("params", [{"num_beams": 2, "no_repeat_ngram_size": 3}, {"num_return_sequences": 2}])
def test_nan_fails_its_document_alone(params: dict[str, Any], loaded: Loader) -> None:
    model = _loaded("llama", loaded)
    way = params if "num_beams" in params else {**params, "do_sample": True}
    prompts = prompts_of(model, 5, seed=6, ways=[way])
    wanted = decode_with_random_arrivals(make_group_core(model)[0], prompts, seed=2)
    poison = 66
    bad = dataclasses.replace(prompts[0], input_ids=[poison, 9])
    hook = model.model.get_input_embeddings().register_forward_hook(
        lambda _, inputs, output: output.masked_fill((inputs[0] == poison)[..., None], float("nan"))
    )
    try:
        core, _ = make_group_core(model)
        results = dict(decode_with_random_arrivals(core, [*prompts, bad], seed=2))
    finally:
        hook.remove()
    assert isinstance(results.pop(len(prompts)), NotFinite)
    assert results == wanted


def test_what_was_begun_again_comes_out_the_same(loaded: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a step that ran out of memory everybody starts over, streams of random numbers too."""
    model = _loaded("llama", loaded)
    ways: tuple[dict[str, Any], ...] = (
        {"do_sample": True, "num_return_sequences": 3},
        {"num_beams": 2, "repetition_penalty": 1.3},
        {"num_beams": 3},
    )
    prompts = [dataclasses.replace(each, seed=7) for each in prompts_of(model, 9, seed=6, ways=ways)]
    wanted = decode_with_random_arrivals(make_group_core(model)[0], prompts, seed=2)
    core, program = make_group_core(model)
    run, calls = type(program).run, iter(range(10**6))

    def fails_sometimes(self: Any, *step: Any) -> None:
        run(self, *step)
        if len(core.scheduler.running) > 1 and next(calls) % 7 == 5:  # alone, it would be the one at fault
            raise MemoryError

    monkeypatch.setattr(type(program), "run", fails_sometimes)
    results = decode_with_random_arrivals(core, prompts, seed=2)
    assert all(isinstance(result, Decoded) for result in results.values())
    assert results == wanted
