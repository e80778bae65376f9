"""The decoding engine against `generate`, by its reference backend; on a GPU by Triton and graphs."""

from __future__ import annotations

import dataclasses
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import transformers as hf

from models.decoding.core import PagedCore
from models.decoding.parameters.prompt import Decoded, Prompt, PromptMaker
from models.decoding.scheduling.scheduler import Limits
from models.errors import DocumentError
from models.loading.registry import LoadedModel
from tests.support import paged
from tests.support.decoding import decode_with_random_arrivals, expect_each_alone, generate_alone
from tests.support.paged import HAS_CUDA, TIGHT, make_paged_core
from tests.support.tiny_models import WORDS, Loader, TinyModels

_MODELS = ["gpt2", "llama", "qwen", "mistral"]  # the last looks back over six tokens
_PARAMETERS: tuple[dict[str, Any], ...] = (
    {},
    {"repetition_penalty": 1.3},
    {"repetition_penalty": 0.8, "min_new_tokens": 3},
    {"min_new_tokens": 5},
    {"num_beams": 1, "do_sample": False},
)
_KERNELS = [
    pytest.param("cpu", marks=pytest.mark.skipif(HAS_CUDA, reason="a GPU is at hand")),
    pytest.param("reference", marks=pytest.mark.skipif(HAS_CUDA, reason="a GPU is at hand")),
    pytest.param("triton", marks=pytest.mark.gpu),
]


@pytest.fixture(params=_KERNELS)
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Loader:
    """Loads a small model for generation; cores are made for this way of computing it."""
    monkeypatch.setattr(paged, "kernels", request.param)
    loader: Loader = request.getfixturevalue("loaded_on_gpu" if request.param == "triton" else "loaded")
    return loader


def _prompts(model: LoadedModel, count: int, *, seed: int, longest: int = 20) -> list[Prompt]:
    draw = random.Random(seed)
    maker = PromptMaker(model)
    prompts = []
    for _ in range(count):
        params = dict(draw.choice(_PARAMETERS))
        if draw.random() < 0.3:
            params["stop"] = [draw.choice("aeiou") + draw.choice("nrst"), "zz"]
        ids = model.tokenizer(" ".join(draw.choices(WORDS, k=draw.randint(1, longest))))["input_ids"]
        prompts.append(
            maker.make(ids[:100], params, max_new_tokens=draw.randint(params.get("min_new_tokens", 1), 14))
        )
    return prompts


def _sampled(model: LoadedModel, count: int) -> list[Prompt]:
    """Greedy and sampled ones, each with parameters and a seed of its own."""
    ways = (
        {},
        {"top_k": 5},
        {"top_p": 0.8, "top_k": 0},
        {"temperature": 1.7, "top_k": 20, "top_p": 0.9},
        {"top_k": 0},
    )
    maker = PromptMaker(model)
    prompts = []
    for number, prompt in enumerate(_prompts(model, count, seed=5)):
        sampled = {"do_sample": True, "seed": number, **ways[number % len(ways)]}
        params = sampled if number % 4 else {"do_sample": False}
        prompts.append(maker.make(prompt.input_ids, params, max_new_tokens=prompt.max_new_tokens))
    return prompts


def _compare_with_each_alone(name: str, count: int, small: Loader, tiny_models: TinyModels) -> None:
    model = small("generation", name)
    prompts = _prompts(model, count, seed=7)
    core, program = make_paged_core(model)
    results = decode_with_random_arrivals(core, prompts, seed=8)
    plain = hf.AutoModelForCausalLM.from_pretrained(tiny_models[name]).eval().to(model.device.torch)
    expect_each_alone(results, prompts, plain, model.tokenizer)
    assert program.pages.num_bytes == 0


@pytest.mark.parametrize("name", _MODELS)
def test_sixty_documents_in_any_company_equal_each_alone(
    name: str, small: Loader, tiny_models: TinyModels
) -> None:
    _compare_with_each_alone(name, 60, small, tiny_models)


def test_two_documents_by_the_kernels_of_gpus_equal_each_alone(
    small: Loader, tiny_models: TinyModels
) -> None:
    """Through the interpreter where there is no GPU: slow, but the same code."""
    pytest.importorskip("triton")
    model = small("generation", "mistral")
    limits = Limits(max_rows=2, num_pages=11, max_entries=48, chunk_sizes=(16,), max_begun=2)
    core, _ = make_paged_core(model, limits, by="triton")
    plain = hf.AutoModelForCausalLM.from_pretrained(tiny_models["mistral"]).eval().to(model.device.torch)
    prompts = [
        Prompt(
            input_ids=model.tokenizer(text)["input_ids"][:19], max_new_tokens=4, params={"min_new_tokens": 3}
        )
        for text in ("the old clock in the hall had stopped at midnight", "snow")
    ]
    for number, prompt in enumerate(prompts):
        core.add(number, prompt, priority=6)
    results = _run(core)
    for number, prompt in enumerate(prompts):
        assert results[number].sequences == generate_alone(plain, model.tokenizer, prompt)


def _run(core: PagedCore) -> dict[Any, Any]:
    results: dict[Any, Any] = {}
    while core.has_work:
        results |= dict(core.step())
    return results


def test_sampled_documents_are_the_same_in_any_company_and_order(small: Loader) -> None:
    model = small("generation", "llama")
    prompts = _sampled(model, 24)
    wide = Limits(max_rows=24, num_pages=400, max_entries=128, chunk_sizes=(64,), max_begun=24)
    wanted = decode_with_random_arrivals(make_paged_core(model, wide)[0], prompts, seed=1)
    for seed in (2, 3):
        core, _ = make_paged_core(model)
        assert decode_with_random_arrivals(core, prompts, seed=seed) == wanted
    other = dataclasses.replace(prompts[1], seed=10_001, max_new_tokens=12)
    core, _ = make_paged_core(model)
    core.add("other", other, priority=6)
    core.add("same", dataclasses.replace(other, seed=1), priority=6)
    results = _run(core)
    assert results["other"].sequences != results["same"].sequences


@pytest.mark.parametrize("ways", [{"top_k": 8, "temperature": 1.5}, {"top_k": 0, "top_p": 0.7}])
def test_sampled_tokens_follow_the_models_distribution(ways: dict[str, Any], small: Loader) -> None:
    """A chi-square test; with these seeds it passes, and by chance one in a thousand sets would fail."""
    model = small("generation", "gpt2")
    ids = model.tokenizer("the old clock")["input_ids"]
    params = {"do_sample": True, **ways}
    count = 2000
    limits = Limits(max_rows=250, num_pages=600, max_entries=32, chunk_sizes=(512,), max_begun=250)
    core, _ = make_paged_core(model, limits)
    for seed in range(count):
        core.add(seed, Prompt(input_ids=ids, max_new_tokens=1, params=params, seed=seed), priority=6)
    drawn = Counter(result.sequences[0][0] for result in _run(core).values())
    with torch.inference_mode():
        tokens = torch.tensor([ids], device=model.device.torch)
        scores = model.model(tokens).logits[:, -1].float().cpu() / params.get("temperature", 1.0)
    if params["top_k"]:
        scores = hf.TopKLogitsWarper(params["top_k"])(tokens, scores)
    else:
        scores = hf.TopPLogitsWarper(params["top_p"])(tokens, scores)
    expected = {t: share * count for t, share in enumerate(torch.softmax(scores[0], -1).tolist()) if share}
    assert set(drawn) <= set(expected)
    common = {token: number for token, number in expected.items() if number >= 5}
    rest = count - sum(common.values())
    chi_square = sum((drawn[token] - number) ** 2 / number for token, number in common.items())
    if rest >= 5:
        chi_square += (sum(n for t, n in drawn.items() if t not in common) - rest) ** 2 / rest
    freedom = len(common) - (rest < 5)
    limit = freedom * (1 - 2 / (9 * freedom) + 3.1 * (2 / (9 * freedom)) ** 0.5) ** 3  # 0.999 of it
    assert chi_square < limit


def test_cancelled_documents_leave_at_once_and_the_others_go_on(small: Loader) -> None:
    model = small("generation", "gpt2")
    prompts = [Prompt(input_ids=[5 + n, 6, 7], max_new_tokens=9, params={}) for n in range(8)]
    wanted = decode_with_random_arrivals(make_paged_core(model)[0], prompts, seed=2)
    core, program = make_paged_core(model)
    for key, prompt in enumerate(prompts):
        core.add(key, prompt, priority=6)
    results = dict([*core.step(), *core.step()])
    core.discard([1, 3, 5, "unknown"])
    results |= _run(core)
    assert set(results) == {0, 2, 4, 6, 7}
    assert all(results[key] == wanted[key] for key in results)
    core.add("again", prompts[1], priority=6)
    core.step()
    core.discard(["again"])
    assert not core.has_work
    assert program.pages.num_bytes == 0


def test_nan_from_the_model_fails_its_document_alone_and_leaves_nothing_behind(small: Loader) -> None:
    model = small("generation", "llama")
    poison = 66
    prompts = [Prompt(input_ids=[5 + n, 6, 7], max_new_tokens=6, params={}) for n in range(6)]
    wanted = decode_with_random_arrivals(make_paged_core(model)[0], prompts, seed=6)
    bad = [Prompt(input_ids=[poison, 9], max_new_tokens=6, params={})] * 4
    limits = dataclasses.replace(
        TIGHT, max_rows=3, num_pages=8
    )  # the healthy take over pages of the poisoned
    core, _ = make_paged_core(model, limits)
    hook = model.model.get_input_embeddings().register_forward_hook(
        lambda _, inputs, output: output.masked_fill((inputs[0] == poison)[..., None], float("nan"))
    )
    try:
        results = decode_with_random_arrivals(core, [*bad, *prompts], seed=6)
    finally:
        hook.remove()
    assert [getattr(results[place], "code", None) for place in range(4)] == ["not_finite"] * 4
    assert [results[4 + place] for place in range(6)] == [wanted[place] for place in range(6)]


@contextmanager
def _before_embedding(model: LoadedModel, hook: Any) -> Iterator[None]:
    """Calls `hook` before tokens are looked up, in every pass."""
    handle = model.model.get_input_embeddings().register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def test_a_document_that_raises_fails_alone(small: Loader) -> None:
    model = small("generation", "gpt2")
    if not model.device.is_cpu:
        pytest.skip("what a graph replays raises nothing: the hook of this test is never called")
    prompts = [Prompt(input_ids=[5 + n, 6, 7], max_new_tokens=6, params={}) for n in range(9)]
    poison = Prompt(input_ids=[66, 67], max_new_tokens=6, params={})
    wanted = decode_with_random_arrivals(make_paged_core(model)[0], prompts, seed=5)
    core, _ = make_paged_core(model)

    def refuse(_: Any, inputs: Any) -> None:
        if bool((inputs[0] == 66).any()):
            raise ValueError("sixty-six")

    with _before_embedding(model, refuse):
        results = decode_with_random_arrivals(core, [*prompts, poison], seed=5)
    failed = results[len(prompts)]
    assert isinstance(failed, DocumentError)
    assert "sixty-six" in str(failed)
    assert [results[place] for place in range(9)] == [wanted[place] for place in range(9)]


def test_a_step_that_runs_out_of_memory_is_run_again_by_fewer(small: Loader) -> None:
    model = small("generation", "gpt2")
    prompts = [Prompt(input_ids=[5 + n, 6, 7], max_new_tokens=6, params={}) for n in range(9)]
    wanted = decode_with_random_arrivals(make_paged_core(model)[0], prompts, seed=5)
    core, _ = make_paged_core(model)
    failures = iter([False, False, True, False, True])

    def run_out(*_: Any) -> None:
        if next(failures, False):
            raise torch.OutOfMemoryError("CUDA out of memory")

    with _before_embedding(model, run_out):
        results = decode_with_random_arrivals(core, prompts, seed=5)
    assert results == wanted


def test_pages_that_do_not_fit_the_memory_become_fewer(
    small: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = small("generation", "gpt2")
    short = Prompt(input_ids=[5, 6, 7], max_new_tokens=6, params={})
    long = Prompt(input_ids=[5] * 90, max_new_tokens=30, params={})
    core, program = make_paged_core(model)
    allocate = program.pages.allocate

    def little(num_pages: int) -> None:
        if num_pages > 6:
            raise torch.OutOfMemoryError("CUDA out of memory")
        allocate(num_pages)

    monkeypatch.setattr(program.pages, "allocate", little)
    core.add("long", long, priority=6)
    core.add("short", short, priority=6)
    results = _run(core)
    assert results["long"].code == "out_of_memory"
    assert isinstance(results["short"], Decoded)


def test_what_the_sampler_does_not_do_is_not_served_here(small: Loader) -> None:
    core, _ = make_paged_core(small("generation", "gpt2"))

    def is_served(length: int = 3, new: int = 5, **params: Any) -> bool:
        return core.serves(Prompt(input_ids=[5] * length, max_new_tokens=new, params=params))

    assert is_served(do_sample=True, top_k=4, top_p=0.5, temperature=0.3, repetition_penalty=1.1)
    assert is_served(length=100, new=29)
    assert not is_served(length=100, new=30)
    assert not is_served(num_beams=2)
    assert not is_served(do_sample=True, num_return_sequences=2)
    assert is_served(no_repeat_ngram_size=2)
    assert not is_served(do_sample=True, temperature=-1.0)


def test_after_a_rest_the_same_comes_out_without_a_capture(small: Loader) -> None:
    """Pages are given back and made anew, elsewhere perhaps; what was captured stays."""
    model = small("generation", "llama")
    core, program = make_paged_core(model)
    found = []
    graphs = []
    for _ in range(3):
        for number, prompt in enumerate(_prompts(model, 12, seed=3)):
            core.add(number, prompt, priority=6)
        found.append(_run(core))
        graphs.append(getattr(core.runner, "num_graphs", 0))
        assert program.pages.num_bytes == 0
    assert found[0] == found[1] == found[2]
    assert graphs[0] == graphs[1] == graphs[2]


def test_memory_of_pages_stays_within_the_budget_and_falls_back(small: Loader) -> None:
    model = small("generation", "llama")
    core, program = make_paged_core(model)
    budget = TIGHT.num_pages * program.pages.page_bytes
    for number, prompt in enumerate(_prompts(model, 20, seed=3)):
        core.add(number, prompt, priority=6)
    most = 0
    while core.has_work:
        core.step()
        most = max(most, program.pages.num_bytes)
    assert 0 < most <= budget
    assert program.pages.num_bytes == 0
