"""What is chosen for a document depends on its own length and parameters, not on its company's."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM, GenerationConfig

from models.decoding.parameters.options import OptionsMaker
from models.decoding.parameters.prompt import Decoded, Prompt
from tests.support.decoding import decode_with_random_arrivals, generate_alone, is_same, make_core
from tests.support.tiny_models import WORDS, Loader, TinyModels

#: More than are decoded at once: some come while others are on their way.
NUM_DOCUMENTS = 50

_SAMPLED: tuple[dict[str, Any], ...] = (
    {"do_sample": True, "temperature": 4.0, "top_k": 0, "min_new_tokens": 12},
    {"do_sample": True, "top_k": 6, "min_new_tokens": 9},
    {"do_sample": True, "top_p": 0.7, "min_new_tokens": 7, "num_return_sequences": 2},
)


def _plain(name: str, tiny_models: TinyModels) -> Any:
    kind = AutoModelForCausalLM if name in ("gpt2", "llama") else AutoModelForSeq2SeqLM
    return kind.from_pretrained(tiny_models[name]).eval()


def _prompts(tokenizer: Any, count: int, params: dict[str, Any]) -> list[Prompt]:
    texts = [" ".join(WORDS[(3 * n + k) % len(WORDS)] for k in range(1 + n % 7)) for n in range(count)]
    return [
        Prompt(
            input_ids=tokenizer(text)["input_ids"],
            max_new_tokens=16,
            params=params,
            num_rows=params.get("num_return_sequences", 1),
            seed=number,
        )
        for number, text in enumerate(texts)
    ]


@pytest.mark.parametrize("params", _SAMPLED, ids=["temperature", "top-k", "top-p"])
@pytest.mark.parametrize("name", ["gpt2", "llama", "marian"])
def test_sampled_documents_keep_their_own_minimum_in_company(
    name: str, params: dict[str, Any], loaded: Loader, tiny_models: TinyModels
) -> None:
    """W1: what was active at the first document's length was applied to all of its group."""
    model = loaded("translation" if name == "marian" else "generation", name)
    prompts = _prompts(model.tokenizer, NUM_DOCUMENTS, params)
    plain = _plain(name, tiny_models)
    results = decode_with_random_arrivals(make_core(model), prompts, seed=3)
    padding = {model.tokenizer.pad_token_id or 0, model.tokenizer.eos_token_id}
    for place, prompt in enumerate(prompts):
        result = results[place]
        assert isinstance(result, Decoded)
        alone = generate_alone(plain, model.tokenizer, prompt)
        assert is_same(result, alone, padding), (prompt, alone, result)


@pytest.mark.parametrize(
    "defaults",
    [
        {"begin_suppress_tokens": list(range(40, 200)), "do_sample": True, "top_k": 5},
        {"min_length": 14, "do_sample": True, "temperature": 3.0},
        {"forced_eos_token_id": 1, "suppress_tokens": [50, 51, 52], "do_sample": True, "top_p": 0.9},
    ],
    ids=["begin_suppress_tokens", "min_length", "forced_eos_token_id"],
)
def test_defaults_that_depend_on_the_length_follow_each_documents_own(
    defaults: dict[str, Any], loaded: Loader, tiny_models: TinyModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W1, its relatives: what a model's own `generation_config` asks for at some lengths only."""
    model = loaded("generation", "llama")
    plain = _plain("llama", tiny_models)
    for each in (model.model, plain):
        ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}
        monkeypatch.setattr(each, "generation_config", GenerationConfig(**ends, **defaults))
    prompts = _prompts(model.tokenizer, NUM_DOCUMENTS, {})
    results = decode_with_random_arrivals(make_core(model), prompts, seed=4)
    for place, prompt in enumerate(prompts):
        result = results[place]
        assert isinstance(result, Decoded), result
        assert is_same(result, generate_alone(plain, model.tokenizer, prompt), {1, 2})


def test_parameters_that_make_transformers_raise_fail_their_document_alone(
    loaded: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception of one document's parameters left `step` and ended the device loop."""
    model = loaded("generation", "gpt2")
    fine = _prompts(model.tokenizer, 6, {"do_sample": False})
    wanted = decode_with_random_arrivals(make_core(model), fine, seed=5)
    make = OptionsMaker.make

    def picky(self: OptionsMaker, prompt: Prompt) -> Any:
        if prompt.params.get("top_k") == 7:
            raise IndexError("seven")
        return make(self, prompt)

    monkeypatch.setattr(OptionsMaker, "make", picky)
    bad = Prompt(input_ids=[5, 6], max_new_tokens=4, params={"do_sample": True, "top_k": 7}, seed=1)
    cold = Prompt(input_ids=[5, 6], max_new_tokens=4, params={"do_sample": True, "temperature": 0.0}, seed=1)
    results = decode_with_random_arrivals(make_core(model), [*fine, bad, cold], seed=5)
    assert [getattr(results[place], "code", None) for place in (6, 7)] == ["invalid_parameter"] * 2
    assert all(results[place] == wanted[place] for place in wanted)
