"""Which documents of a model on CUDA go by the decoding engine, and that all come out as `generate` says."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import pytest
import torch
import transformers as hf

from models.decoding import core as paged
from models.decoding import factory, group_factory
from models.decoding.passes.steps import EagerSteps, Program
from models.decoding.proving.group_probe import GroupVerdict
from models.loading.device import Device
from models.loading.registry import LoadedModel
from models.records import DocumentInput
from models.tasks.generation import GenerationEngine
from tests.support.paged import TIGHT
from tests.support.tiny_models import Loader, TinyModels


def _eagerly(program: Program, *_: Any, **__: Any) -> EagerSteps:
    return EagerSteps(program, is_ahead=True)


@pytest.fixture
def as_on_cuda(loaded: Loader, monkeypatch: pytest.MonkeyPatch) -> LoadedModel:
    """A model on a CPU that is taken for a CUDA device; torch computes what Triton and graphs would."""
    monkeypatch.setattr(factory, "steps_on_cuda", _eagerly)
    monkeypatch.setattr(factory, "limits_for", lambda _: TIGHT)
    none = (None, GroupVerdict(0, "another test's matter"))
    monkeypatch.setattr(group_factory, "grouped_core", lambda *_: none)
    build = factory.build_program

    def by_torch(*args: Any, by: str) -> Any:
        assert by == "triton"
        return build(*args, by="reference")

    monkeypatch.setattr(factory, "build_program", by_torch)
    model = loaded("generation", "llama")
    assert isinstance(model.device, Device)
    return dataclasses.replace(model, device=dataclasses.replace(model.device, name="cpu:0"))


_TEXTS = ("the old clock", "A warm film on the moon", "snow", "two people walked")
_KINDS: tuple[tuple[bool, dict[str, Any]], ...] = (
    (True, {"max_new_tokens": 9}),
    (True, {"max_new_tokens": 9, "repetition_penalty": 1.4, "min_new_tokens": 4}),
    (True, {"max_new_tokens": 12, "stop": ["e", "an"]}),
    (False, {"max_new_tokens": 9, "num_beams": 3}),
    (True, {"max_new_tokens": 9, "no_repeat_ngram_size": 2}),
)


def test_documents_of_every_kind_come_out_as_generate_says_whichever_engine_they_go_by(
    as_on_cuda: LoadedModel, tiny_models: TinyModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = as_on_cuda
    engine = GenerationEngine(model)
    taken: list[Any] = []
    add = paged.PagedCore.add
    monkeypatch.setattr(
        paged.PagedCore,
        "add",
        lambda self, key, prompt, **how: (taken.append(key[0]), add(self, key, prompt, **how)),
    )
    documents = [
        DocumentInput(key=(number, text), text=text, params=params)
        for number, (_, params) in enumerate(_KINDS)
        for text in _TEXTS
    ]
    engine.submit(documents)
    outputs: dict[Any, Any] = {}
    while engine.has_work:
        outputs |= {output.key: output for output in engine.step()}
    assert set(taken) == {
        (number, text) for number, (is_fast, _) in enumerate(_KINDS) if is_fast for text in _TEXTS
    }
    plain = hf.AutoModelForCausalLM.from_pretrained(tiny_models["llama"]).eval()
    for (number, text), output in outputs.items():
        assert output.output is not None, output
        assert output.output["text"] == _alone(plain, model.tokenizer, text, _KINDS[number][1])
    assert engine.describe()["way"] == "continuous"
    engine.close()


def _alone(plain: Any, tokenizer: Any, text: str, params: dict[str, Any]) -> str:
    options = dict(params)
    stops = options.pop("stop", [])
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    more = {"stop_strings": stops, "tokenizer": tokenizer} if stops else {}
    made = plain.generate(ids, attention_mask=torch.ones_like(ids), pad_token_id=0, **options, **more)[0]
    decode = partial(tokenizer.decode, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    continued = decode(made)[len(decode(ids[0])) :]
    return continued[: min((continued.find(stop) for stop in stops if stop in continued), default=None)]


def test_a_sampled_result_names_the_stream_it_was_drawn_from(as_on_cuda: LoadedModel) -> None:
    """A seed says nothing without it: transformers' own generator draws other tokens."""
    engine = GenerationEngine(as_on_cuda)
    params = {"do_sample": True, "seed": 5, "max_new_tokens": 6}
    engine.submit([DocumentInput(key=key, text="the old clock", params=params) for key in (1, 2)])
    outputs: list[Any] = []
    while engine.has_work:
        outputs += engine.step()
    one, other = outputs
    assert one.output == other.output
    assert one.provenance["seed"] == 5
    assert one.provenance["random_numbers"] == "philox by seed and position"
    engine.close()
