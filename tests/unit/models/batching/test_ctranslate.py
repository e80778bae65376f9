"""Translation by CTranslate2: the same tokens as transformers, and a clear no where it has none."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest
import torch
from transformers import AutoModelForSeq2SeqLM

from jobs.rows.fitting import misfits
from models.batching import ctranslate
from models.batching.plan import Piece
from models.decoding.parameters.prompt import Decoded, Prompt
from models.loading.device import Device
from models.loading.registry import load_model
from models.processor_time import loop_cpu_seconds
from models.records import DocumentInput, DocumentOutput, ModelSpec
from models.tasks.translation.task import TranslationEngine
from tests.support.engines import drain
from tests.support.tiny_models import SENTENCES, Loader, TinyModels

_NEW_TOKENS = 12
_PARAMS: tuple[dict[str, Any], ...] = (
    {"num_beams": 1},
    {"num_beams": 1, "min_new_tokens": 8},
    {"num_beams": 2},
    {"num_beams": 4, "length_penalty": 0.2},
    {"num_beams": 3, "length_penalty": 2.0},
    {"num_beams": 4, "min_new_tokens": 8},
    {"num_beams": 4, "early_stopping": True},
)

pytest.importorskip("ctranslate2")
from models.batching import conversion  # noqa: E402  # imports it


@pytest.mark.parametrize("name", ["marian", "t5", "nllb"])
def test_in_float32_its_tokens_are_those_of_generate(
    name: str, loaded: Loader, tiny_models: TinyModels
) -> None:
    model = loaded("translation", name)
    forced = model.tokenizer.convert_tokens_to_ids("fra_Latn") if name == "nllb" else None
    decoder = ctranslate.CTranslateDecoder(model, conversion.convert(model, "float32"))
    plain: Any = AutoModelForSeq2SeqLM.from_pretrained(tiny_models[name]).eval()
    given = {} if forced is None else {"forced_bos_token_id": forced}
    for params in _PARAMS:
        prompts = [
            Prompt(
                input_ids=model.tokenizer(sentence)["input_ids"],
                max_new_tokens=_NEW_TOKENS,
                params=params,
                forced_bos_token_id=forced,
            )
            for sentence in SENTENCES
        ]
        pieces = [Piece(key=n, index=0, num_tokens=9, data=prompt) for n, prompt in enumerate(prompts)]
        assert len({decoder.group(piece) for piece in pieces}) == 1
        for prompt, result in zip(prompts, decoder.decode(pieces), strict=True):
            alone = plain.generate(
                torch.tensor([prompt.input_ids]),
                max_new_tokens=_NEW_TOKENS,
                do_sample=False,
                **params,
                **given,
            )
            assert isinstance(result, Decoded)
            assert result.sequences == [alone[0, 1:].tolist()], (params, prompt)
            assert result.is_stopped == [alone.shape[1] - 1 < _NEW_TOKENS]


@pytest.fixture
def engine(tiny_models: TinyModels, cpu: Device) -> TranslationEngine:
    spec = ModelSpec(name="m", task="translation", ref=str(tiny_models["marian"]), dtype="int8")
    return TranslationEngine(load_model(spec, cpu))


def test_a_model_loaded_as_int8_on_a_cpu_is_translated_by_it_and_says_so(engine: TranslationEngine) -> None:
    outputs = translate(engine, *({"num_beams": beams} for beams in (1, 4)))
    assert engine.describe()["decoded_by"] == "CTranslate2"
    for output in outputs:
        assert output.output is not None
        assert output.provenance["dtype"] == "int8"
        assert output.provenance["ctranslate2"]


@pytest.mark.parametrize(
    "params", [{"do_sample": True}, {"repetition_penalty": 1.5}, {"no_repeat_ngram_size": 2}]
)
def test_what_it_does_otherwise_is_refused_for_that_document_alone(
    engine: TranslationEngine, params: dict[str, Any]
) -> None:
    fine, refused = translate(engine, {"no_repeat_ngram_size": 0}, params)
    assert fine.output is not None
    assert refused.error_code == "invalid_parameter"
    assert next(iter(params)) in str(refused.error_message)


def test_without_it_int8_is_decoded_as_before(
    tiny_models: TinyModels, cpu: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctranslate, "find_spec", lambda name: None)  # as if it were not installed
    spec = ModelSpec(name="m", task="translation", ref=str(tiny_models["marian"]), dtype="int8")
    engine = TranslationEngine(load_model(spec, cpu))
    assert engine.describe()["decoded_by"] == "textmill"
    assert all(output.output is not None for output in translate(engine, {"repetition_penalty": 1.5}))


def test_the_bundled_model_translates_as_before(cpu: Device) -> None:
    """Its padding is no vector of zeros, as CTranslate2 takes it to be; converted, it lost the first word."""
    engine = bundled(cpu, "int8")
    assert engine.describe()["decoded_by"] == "CTranslate2"
    plain = bundled(cpu, "float32")
    for one, other in zip(translate(engine, {}, {}, {}), translate(plain, {}, {}, {}), strict=True):
        assert one.output
        assert other.output
        assert one.output["text"].split()[:2] == other.output["text"].split()[:2]


def test_a_long_batch_is_not_taken_for_a_hang(engine: TranslationEngine) -> None:
    """CTranslate2 computes on its own threads; its caller used to look idle and to be ended after 8 s."""
    own, before = time.thread_time(), loop_cpu_seconds(threading.current_thread())
    if before is None:
        pytest.skip("this system does not tell a thread's processor time")
    limit = time.monotonic() + 60
    while (loop_cpu_seconds(threading.current_thread()) or 0) - before < time.thread_time() - own + 0.1:
        assert time.monotonic() < limit, "its threads are not counted"
        translate(engine, *({"num_beams": 4} for _ in SENTENCES))


def test_a_model_that_it_computes_otherwise_is_decoded_as_before(
    cpu: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conversion, "_start_from_zeros", lambda model: None)  # as if it did not know
    engine = bundled(cpu, "int8")
    assert engine.describe()["decoded_by"] == "textmill"


@pytest.mark.parametrize("default", [{"do_sample": True}, {"repetition_penalty": 1.2}])
def test_a_model_that_asks_by_itself_for_what_it_does_otherwise_is_decoded_as_before(
    tiny_models: TinyModels, cpu: Device, default: dict[str, Any]
) -> None:
    spec = ModelSpec(name="m", task="translation", ref=str(tiny_models["marian"]), dtype="int8")
    loaded = load_model(spec, cpu)
    loaded.model.generation_config.update(**default)
    assert ctranslate.ctranslate_decoder(loaded) is None


def test_a_model_that_its_converter_cannot_read_is_decoded_as_before(
    tiny_models: TinyModels, cpu: Device
) -> None:
    spec = ModelSpec(name="m", task="translation", ref=str(tiny_models["bart"]), dtype="int8")
    engine = TranslationEngine(load_model(spec, cpu))
    assert engine.describe()["decoded_by"] == "textmill"
    assert translate(engine, {"num_beams": 2})[0].output is not None


def bundled(cpu: Device, dtype: str) -> TranslationEngine:
    """The bundled model, whatever it asks for by itself that CTranslate2 does otherwise."""
    spec = ModelSpec(name="m", task="translation", ref="bundled:translation", dtype=dtype)
    loaded = load_model(spec, cpu)
    loaded.model.generation_config.no_repeat_ngram_size = None
    return TranslationEngine(loaded)


def translate(engine: TranslationEngine, *params: dict[str, Any]) -> list[DocumentOutput]:
    """One document for each set of parameters, in their order."""
    engine.submit(
        [DocumentInput(key=key, text=SENTENCES[key], params=each) for key, each in enumerate(params)]
    )
    outputs: list[DocumentOutput] = []
    while engine.has_work:
        outputs += engine.step()
    return sorted(outputs, key=lambda output: int(str(output.key)))


@pytest.mark.parametrize(
    "params",
    [
        {"stop": ["x"]},
        {"do_sample": True},
        {"repetition_penalty": 1.2},
        {"no_repeat_ngram_size": 2},
        {"early_stopping": "never", "num_beams": 2},
        {"early_stopping": True, "num_beams": 2},
        {"repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "do_sample": False},
    ],
)
def test_the_edge_refuses_what_it_refuses_and_in_its_words(
    params: dict[str, Any], engine: TranslationEngine
) -> None:
    params = {**params, "max_new_tokens": 4}
    (answer,) = drain(engine, [DocumentInput(key=0, text=SENTENCES[0], params=params)]).values()
    said = misfits("m", engine.describe(), params, is_chat=False, is_translation=False)
    assert [message for _, message in said] == ([answer.error_message] if answer.error_code else [])
