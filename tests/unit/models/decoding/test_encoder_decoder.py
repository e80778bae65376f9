"""Encoder-decoders by the decoding engine against `generate`, each document alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import transformers as hf

from models.decoding.factory import Kernels
from models.decoding.group_factory import build_group_program, group_core
from models.decoding.parameters.prompt import Prompt
from models.decoding.passes.positions import adapt_positions
from models.decoding.passes.steps import CapturedSteps
from models.decoding.scheduling.scheduler import Limits
from tests.support.decoding import decode_with_random_arrivals, expect_each_alone
from tests.support.groups import BEAMS, MOST_SOURCE, TIGHT, layout_of, make_group_core, prompts_of
from tests.support.tiny_models import Loader, TinyModels

_WAYS: tuple[Mapping[str, Any], ...] = ({}, {"min_new_tokens": 5}, {"num_beams": 1}, *BEAMS)


@pytest.mark.parametrize("by", ["reference", "cpu"])
@pytest.mark.parametrize("name", ["marian", "t5", "bart", "nllb"])
def test_forty_documents_in_any_company_equal_each_alone(
    name: str, by: Kernels, loaded: Loader, tiny_models: TinyModels
) -> None:
    model = loaded("translation", name)
    prompts = prompts_of(model, 40, seed=7, ways=_WAYS)
    core, program = make_group_core(model, layout=layout_of(name), by=by)
    assert all(map(core.serves, prompts))
    results = decode_with_random_arrivals(core, prompts, seed=8)
    plain: Any = hf.AutoModelForSeq2SeqLM.from_pretrained(tiny_models[name]).eval()
    expect_each_alone(results, prompts, plain, model.tokenizer)
    assert program.pages.num_bytes == 0


_FEW = Limits(max_rows=5, num_pages=12, max_entries=32, chunk_sizes=(32,), max_begun=2)


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("translation", "t5"),
        pytest.param("translation", "marian", marks=pytest.mark.slow),
        pytest.param("generation", "llama", marks=pytest.mark.slow),
    ],
)
def test_documents_by_the_kernels_of_gpus_equal_each_alone(
    task: str, name: str, loaded: Loader, tiny_models: TinyModels
) -> None:
    """Through the interpreter where there is no GPU: slow, but the same code."""
    pytest.importorskip("triton")
    model = loaded(task, name)
    core, _ = make_group_core(model, _FEW, layout=layout_of(name), by="triton")
    ways: tuple[dict[str, Any], ...] = ({"num_beams": 3}, {"num_beams": 2, "early_stopping": True})
    prompts = [
        Prompt(input_ids=model.tokenizer(text)["input_ids"][:20], max_new_tokens=3, params=way)
        for text, way in zip(("the old clock in the hall had stopped", "snow"), ways, strict=True)
    ]
    for number, prompt in enumerate(prompts):
        assert core.serves(prompt)
        core.add(number, prompt, priority=6)
    results: dict[Any, Any] = {}
    while core.has_work:
        results |= dict(core.step())
    kind: Any = hf.AutoModelForSeq2SeqLM if task == "translation" else hf.AutoModelForCausalLM
    plain = kind.from_pretrained(tiny_models[name]).eval()
    expect_each_alone(results, prompts, plain, model.tokenizer)


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("task", "name"), [("translation", "t5"), ("translation", "bart"), ("generation", "mistral")]
)
def test_documents_on_a_gpu_equal_each_alone(
    task: str, name: str, loaded_on_gpu: Loader, tiny_models: TinyModels
) -> None:
    """By kernels under captured graphs, documents coming and going."""
    model = loaded_on_gpu(task, name)
    adapt_positions(model.model)
    program = build_group_program(model, TIGHT, by="triton", layout=layout_of(name), most_source=MOST_SOURCE)
    core = group_core(model, program, CapturedSteps(program), TIGHT)
    ways = _WAYS if task == "translation" else BEAMS
    prompts = prompts_of(model, 40, seed=7, ways=ways)
    results = decode_with_random_arrivals(core, prompts, seed=8)
    kind: Any = hf.AutoModelForSeq2SeqLM if task == "translation" else hf.AutoModelForCausalLM
    plain = kind.from_pretrained(tiny_models[name]).eval().to(model.device.torch)
    expect_each_alone(results, prompts, plain, model.tokenizer)
