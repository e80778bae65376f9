"""Which engine takes beams and translations on each device, and that each answers as `generate` does."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import pytest
import torch
import transformers as hf

from models.decoding import factory, group_factory
from models.decoding.group_core import GroupCore
from models.decoding.passes.steps import EagerSteps, Program
from models.loading.registry import LoadedModel
from models.records import DocumentInput
from models.tasks.generation import GenerationEngine
from tests.support.groups import TIGHT
from tests.support.tiny_models import Loader, TinyModels

_LIMITS = dataclasses.replace(TIGHT, max_entries=64)


def _eagerly(program: Program, *_: Any, **__: Any) -> EagerSteps:
    return EagerSteps(program, is_ahead=True)


@pytest.fixture
def on_cuda(loaded: Loader, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Models on a CPU that are taken for models on a CUDA device; torch computes what Triton would."""
    monkeypatch.setattr(factory, "limits_for", lambda _: _LIMITS)
    monkeypatch.setattr(group_factory, "group_limits_for", lambda _: _LIMITS)
    for module, name in ((factory, "build_program"), (group_factory, "build_group_program")):
        build = getattr(module, name)

        def by_torch(*args: Any, by: str, build: Any = build, **more: Any) -> Any:
            assert by == "triton"
            return build(*args, by="reference", **more)

        monkeypatch.setattr(module, name, by_torch)
        monkeypatch.setattr(module, "steps_on_cuda", _eagerly)

    def load(name: str) -> LoadedModel:
        model = loaded("generation", name)
        return dataclasses.replace(model, device=dataclasses.replace(model.device, name="cpu:0"))

    return load


@pytest.fixture
def on_a_cpu(loaded: Loader, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Models on a CPU, by the kernels for it."""
    limits = dataclasses.replace(_LIMITS, is_exact=True)
    monkeypatch.setattr(group_factory, "group_limits_for", lambda _: limits)
    return partial(loaded, "generation")


_TEXTS = ("the old clock", "A warm film on the moon", "snow", "two people walked")
_KINDS: tuple[tuple[dict[str, Any], str], ...] = (  # and which models' documents go by groups
    ({"max_new_tokens": 9}, "bart"),
    ({"max_new_tokens": 9, "num_beams": 3}, "bart llama"),
    ({"max_new_tokens": 7, "num_beams": 4, "early_stopping": True, "length_penalty": 0.5}, "bart llama"),
    ({"max_new_tokens": 9, "num_beams": 2, "no_repeat_ngram_size": 2}, "bart llama"),
    ({"max_new_tokens": 9, "num_beams": 2, "repetition_penalty": 1.3}, "bart llama"),
    ({"max_new_tokens": 9, "repetition_penalty": 1.3}, "bart"),
    ({"max_new_tokens": 4, "num_beams": 13}, ""),  # more than there are seats
)


@pytest.mark.parametrize("device", ["on_cuda", "on_a_cpu"])
@pytest.mark.parametrize("name", ["llama", "bart"])
def test_documents_of_every_kind_come_out_as_generate_says_whichever_engine_they_go_by(
    name: str,
    device: str,
    tiny_models: TinyModels,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    model = request.getfixturevalue(device)(name)
    engine = GenerationEngine(model)
    taken: set[Any] = set()
    add = GroupCore.add

    def noted(self: Any, key: Any, prompt: Any, **how: Any) -> None:
        taken.add(key[0])
        add(self, key, prompt, **how)

    monkeypatch.setattr(GroupCore, "add", noted)
    keys = [(number, text) for number in range(len(_KINDS)) for text in _TEXTS]
    engine.submit([DocumentInput(key=key, text=key[1], params=_KINDS[key[0]][0]) for key in keys])
    outputs: dict[Any, Any] = {}
    while engine.has_work:
        outputs |= {output.key: output for output in engine.step()}
    assert taken == {key for key in keys if name in _KINDS[key[0]][1].split()}
    kind: Any = hf.AutoModelForSeq2SeqLM if name == "bart" else hf.AutoModelForCausalLM
    plain = kind.from_pretrained(tiny_models[name]).eval()
    for (number, text), output in outputs.items():
        assert output.output is not None, output
        assert output.output["text"] == _alone(plain, model.tokenizer, text, _KINDS[number][0])
    assert len(outputs) == len(keys)
    engine.close()


def _alone(plain: Any, tokenizer: Any, text: str, params: dict[str, Any]) -> str:
    ids = torch.tensor([tokenizer(text)["input_ids"]])
    made = plain.generate(ids, attention_mask=torch.ones_like(ids), pad_token_id=0, **params)[0]
    decode = partial(tokenizer.decode, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return decode(made) if plain.config.is_encoder_decoder else decode(made)[len(decode(ids[0])) :]
