"""Whatever decodes a model, against transformers' own `generate` on one document at a time."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

from models.decoding.parameters.prompt import Decoded, Prompt
from models.decoding.scheduling.scheduler import Limits
from models.errors import DocumentError
from tests.support.decoding import (
    TIGHT,
    decode_with_random_arrivals,
    expect_each_alone,
    generate_alone,
    is_same,
    make_core,
    random_prompts,
)
from tests.support.tiny_models import Loader, TinyModels

_CAUSAL = ("gpt2", "llama", "qwen", "mistral")
_TRANSLATING = ("marian", "t5", "bart", "nllb")


def _plain(name: str, tiny_models: TinyModels) -> Any:
    """The model as transformers loads it, which the engine has not touched."""
    kind = AutoModelForCausalLM if name in _CAUSAL else AutoModelForSeq2SeqLM
    return kind.from_pretrained(tiny_models[name]).eval()


@pytest.mark.parametrize("name", [*_CAUSAL, *_TRANSLATING])
def test_documents_of_every_kind_in_any_company_equal_each_alone(
    name: str, loaded: Loader, tiny_models: TinyModels
) -> None:
    _compare_with_each_alone(name, 60, loaded, tiny_models)


@pytest.mark.gpu
@pytest.mark.parametrize("name", _TRANSLATING)
def test_two_hundred_documents_on_a_gpu_equal_each_alone(
    name: str, loaded_on_gpu: Loader, tiny_models: TinyModels
) -> None:
    """Rows of decoder-only models draw from a stream of the engine's own there: `test_core`."""
    _compare_with_each_alone(name, 200, loaded_on_gpu, tiny_models, limits=None)


def _compare_with_each_alone(
    name: str, count: int, loaded: Loader, tiny_models: TinyModels, *, limits: Limits | None = TIGHT
) -> None:
    model = loaded("generation" if name in _CAUSAL else "translation", name)
    prompts = random_prompts(model, count, seed=7, longest=20 if name in _CAUSAL else 9)
    results = decode_with_random_arrivals(make_core(model, limits), prompts, seed=8)
    plain = _plain(name, tiny_models).to(model.device.torch)
    expect_each_alone(results, prompts, plain, model.tokenizer)


@pytest.mark.parametrize("name", ["gpt2", "t5"])
def test_a_document_of_one_token_leaves_its_newcomers_whole(
    name: str, loaded: Loader, tiny_models: TinyModels
) -> None:
    """It used to happen that the last of them, moved to the slot left empty, lost its encoded source."""
    model = loaded("generation" if name in _CAUSAL else "translation", name)
    ids = model.tokenizer(["a warm film on the old clock", "trains from the north", "the old clock"])[
        "input_ids"
    ]
    prompts = [
        Prompt(input_ids=ids[number], max_new_tokens=count, params={"min_new_tokens": count})
        for number, count in enumerate((1, 9, 9))
    ]
    core = make_core(model)
    for number, prompt in enumerate(prompts):
        core.add(number, prompt, priority=6)
    results: dict[Any, Any] = {}
    while core.has_work:
        results |= dict(core.step())
    for number, prompt in enumerate(prompts):
        alone = generate_alone(_plain(name, tiny_models), model.tokenizer, prompt)
        assert results[number].sequences == alone


def test_a_forced_language_is_the_first_token_of_every_beam(loaded: Loader, tiny_models: TinyModels) -> None:
    model = loaded("translation", "nllb")
    forced = model.tokenizer.convert_tokens_to_ids("fra_Latn")
    prompts = [
        Prompt(
            input_ids=model.tokenizer(text)["input_ids"],
            max_new_tokens=8,
            params={"num_beams": beams},
            num_rows=beams,
            forced_bos_token_id=forced,
        )
        for beams in range(1, 6)
        for text in ("The weather", "A warm film")
    ]
    results = decode_with_random_arrivals(make_core(model), prompts, seed=1)
    plain = _plain("nllb", tiny_models)
    for place, prompt in enumerate(prompts):
        result = results[place]
        assert isinstance(result, Decoded)
        assert result.sequences[0][0] == forced
        assert is_same(result, generate_alone(plain, model.tokenizer, prompt), {1, 2})


def test_sampled_tokens_follow_the_models_distribution(loaded: Loader) -> None:
    """A chi-square test; with these seeds it passes, and by chance one in a thousand sets would fail."""
    model = loaded("generation", "gpt2")
    ids = model.tokenizer("the old clock")["input_ids"]
    params = {"do_sample": True, "top_k": 8, "temperature": 1.5}
    count = 2000
    prompts = [Prompt(input_ids=ids, max_new_tokens=1, params=params, seed=seed) for seed in range(count)]
    core = make_core(model, None)
    results = decode_with_random_arrivals(core, prompts, seed=3).values()
    drawn = Counter(result.sequences[0][0] for result in results if isinstance(result, Decoded))
    with torch.inference_mode():
        logits = model.model(torch.tensor([ids])).logits[0, -1] / 1.5
    best = logits.topk(8)
    expected = torch.softmax(best.values, dim=-1) * count
    assert set(drawn) <= set(best.indices.tolist())
    chi_square = sum(
        (drawn[token] - number) ** 2 / number
        for token, number in zip(best.indices.tolist(), expected.tolist(), strict=True)
    )
    assert chi_square < 24.3  # 0.999 of the distribution with 7 degrees of freedom


def test_documents_that_there_are_no_pages_for_wait_and_end_the_same(
    loaded: Loader, tiny_models: TinyModels
) -> None:
    model = loaded("generation", "llama")
    params: tuple[dict[str, object], ...] = ({"min_new_tokens": 90}, {"min_new_tokens": 90, "num_beams": 2})
    prompts = [
        Prompt(
            input_ids=model.tokenizer(text)["input_ids"],
            max_new_tokens=100,
            params=way,
            num_rows=1 + ("num_beams" in way),
        )
        for text in ("the dog", "the cat in the hall", "nobody", "trains from the north")
        for way in params
    ]
    limits = Limits(max_rows=8, num_pages=20, max_entries=128, chunk_sizes=(64,), is_exact=True)
    results = decode_with_random_arrivals(make_core(model, limits), prompts, seed=4)
    expect_each_alone(results, prompts, _plain("llama", tiny_models), model.tokenizer)


@pytest.mark.parametrize(("task", "name"), [("generation", "gpt2"), ("translation", "marian")])
def test_a_document_that_raises_fails_alone(
    task: str, name: str, loaded: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = loaded(task, name)
    prompts = [Prompt(input_ids=[5 + n, 6, 7], max_new_tokens=6, params={}) for n in range(9)]
    poison = Prompt(input_ids=[66, 67], max_new_tokens=6, params={})
    wanted = decode_with_random_arrivals(make_core(model), prompts, seed=5)
    core = make_core(model)
    forward, encoder = (
        model.model.forward,
        model.model.get_encoder().forward if task == "translation" else None,
    )

    def refuse(*args: Any, **inputs: Any) -> Any:
        ids = inputs.get("input_ids")
        if ids is not None and bool((ids == 66).any()):
            raise ValueError("sixty-six")
        return (encoder or forward)(*args, **inputs)

    monkeypatch.setattr(model.model.get_encoder() if encoder else model.model, "forward", refuse)
    results = decode_with_random_arrivals(core, [*prompts, poison], seed=5)
    failed = results[len(prompts)]
    assert isinstance(failed, DocumentError)
    assert "sixty-six" in str(failed)
    for place in range(len(prompts)):
        assert results[place] == wanted[place]


@pytest.mark.parametrize(("task", "name"), [("generation", "llama"), ("translation", "bart")])
def test_nan_from_the_model_fails_its_document_alone_and_leaves_nothing_behind(
    task: str, name: str, loaded: Loader
) -> None:
    model = loaded(task, name)
    poison = 66
    prompts = [
        Prompt(input_ids=[5 + n, 6, 7], max_new_tokens=6, params={"num_beams": 2}, num_rows=2)
        for n in range(6)
    ]
    wanted = decode_with_random_arrivals(make_core(model), prompts, seed=6)
    bad = [Prompt(input_ids=[poison, 9], max_new_tokens=6, params={"num_beams": 2}, num_rows=2)] * 4
    # Few rows, so that the healthy take over the seats of the poisoned.
    few = Limits(max_rows=6, num_pages=40, max_entries=64, chunk_sizes=(8,), is_exact=True)
    core = make_core(model, few)
    reads = (
        model.model.get_encoder().embed_tokens
        if task == "translation"
        else model.model.get_input_embeddings()
    )
    hook = reads.register_forward_hook(  # type: ignore[union-attr]
        lambda _, inputs, output: output.masked_fill((inputs[0] == poison)[..., None], float("nan"))
    )
    try:
        results = decode_with_random_arrivals(core, [*bad, *prompts], seed=6)
    finally:
        hook.remove()
    assert [getattr(results[place], "code", None) for place in range(4)] == ["not_finite"] * 4
    for place in range(len(prompts)):
        assert results[4 + place] == wanted[place]


@pytest.mark.parametrize("name", ["gpt2", "marian"])
def test_cancelled_documents_leave_at_once_and_the_others_go_on(name: str, loaded: Loader) -> None:
    model = loaded("generation" if name == "gpt2" else "translation", name)
    prompts = [Prompt(input_ids=[5 + n, 6, 7], max_new_tokens=9, params={}) for n in range(8)]
    wanted = decode_with_random_arrivals(make_core(model), prompts, seed=2)
    core = make_core(model)
    for key, prompt in enumerate(prompts):
        core.add(key, prompt, priority=6)
    results = dict(core.step())
    core.discard([1, 3, 5, "unknown"])
    while core.has_work:
        results |= dict(core.step())
    assert set(results) == {0, 2, 4, 6, 7}
    assert all(results[key] == wanted[key] for key in results)
