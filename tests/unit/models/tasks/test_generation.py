"""Batched decoding against transformers' own `generate` on one document at a time."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import pytest

from models.loading.registry import LoadedModel
from models.records import DocumentInput, DocumentOutput
from models.tasks.generation import GenerationEngine
from models.tasks.translation.task import TranslationEngine
from tests.support.engines import drain
from tests.support.tiny_models import SENTENCES, WORDS, Loader

GREEDY_AND_BEAMS = [
    {},
    {"num_beams": 4},
    {"num_beams": 3, "length_penalty": 0.5, "early_stopping": True},
    {"repetition_penalty": 1.3},
    {"no_repeat_ngram_size": 2, "num_beams": 2},
    {"min_new_tokens": 5},
]


def _documents(seed: int, count: int, *, longest: int) -> list[DocumentInput]:
    draw = random.Random(seed)
    return [
        DocumentInput(
            key=number,
            text=" ".join(draw.choices(WORDS, k=draw.randint(1, longest))),
            params={**draw.choice(GREEDY_AND_BEAMS), "max_new_tokens": draw.randint(6, 16)},
        )
        for number in range(count)
    ]


def _text(output: DocumentOutput) -> Any:
    assert output.output is not None
    return output.output["text"]


def _alone(model: LoadedModel, text: str, params: Mapping[str, Any]) -> str:
    """What transformers makes of one text."""
    inputs = model.tokenizer(text, return_tensors="pt")
    whole = model.model.generate(**inputs, **params)[0]
    new = whole if model.config.is_encoder_decoder else whole[inputs["input_ids"].shape[1] :]
    return str(model.tokenizer.decode(new, skip_special_tokens=True))


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen"])
def test_generation_in_batches_equals_generate_alone(name: str, loaded: Loader) -> None:
    model = loaded("generation", name)
    documents = _documents(1, 16, longest=20)
    answered = drain(GenerationEngine(model), documents)
    for document in documents:
        inputs = model.tokenizer(document.text, return_tensors="pt")
        alone = model.model.generate(**inputs, **document.params, pad_token_id=0)
        whole = model.tokenizer.decode(alone[0], skip_special_tokens=True)
        prompt = model.tokenizer.decode(inputs["input_ids"][0], skip_special_tokens=True)
        output = answered[document.key].output
        assert output is not None
        assert prompt + output["text"] == whole


@pytest.mark.parametrize("name", ["marian", "t5", "bart"])
def test_translation_in_batches_equals_generate_alone(name: str, loaded: Loader) -> None:
    model = loaded("translation", name)
    documents = _documents(2, 12, longest=10)
    answered = drain(TranslationEngine(model), documents)
    prefix = "translate English to German: " if name == "t5" else ""
    for document in documents:
        right = _alone(model, prefix + document.text, document.params)
        assert _text(answered[document.key]) == right.strip()


@pytest.mark.parametrize("name", ["t5", "bart"])
def test_an_encoder_decoder_also_generates(name: str, loaded: Loader) -> None:
    model = loaded("generation", name)
    documents = _documents(3, 6, longest=10)
    answered = drain(GenerationEngine(model), documents)
    for document in documents:
        assert _text(answered[document.key]) == _alone(model, document.text, document.params)


def test_nllb_is_told_both_languages_and_refuses_unknown_ones(loaded: Loader) -> None:
    model = loaded("translation", "nllb")
    params = {"source_language": "fra_Latn", "target_language": "deu_Latn", "max_new_tokens": 8}
    answered = drain(
        TranslationEngine(model),
        [
            DocumentInput(key="good", text="Une voiture rouge", params=params),
            DocumentInput(key="bad", text="Une voiture", params={**params, "target_language": "klingon"}),
        ],
    )
    tokenizer = model.tokenizer
    tokenizer.src_lang = "fra_Latn"
    alone = model.model.generate(
        **tokenizer("Une voiture rouge", return_tensors="pt"),
        forced_bos_token_id=tokenizer.convert_tokens_to_ids("deu_Latn"),
        max_new_tokens=8,
    )
    assert answered["good"].output is not None
    assert answered["good"].output["text"] == tokenizer.decode(alone[0], skip_special_tokens=True).strip()
    assert answered["bad"].error_code == "invalid_parameter"
    assert "klingon" in (answered["bad"].error_message or "")


def test_t5_translates_by_its_own_prefixes(loaded: Loader) -> None:
    model = loaded("translation", "t5")
    params = {"source_language": "en", "target_language": "fr", "max_new_tokens": 6}
    answered = drain(TranslationEngine(model), [DocumentInput(key=0, text="The park", params=params)])
    inputs = model.tokenizer("translate English to French: The park", return_tensors="pt")
    alone = model.model.generate(**inputs, max_new_tokens=6)
    assert answered[0].output is not None
    assert answered[0].output["text"] == model.tokenizer.decode(alone[0], skip_special_tokens=True).strip()


def test_seeded_sampling_gives_the_same_text_alone_and_in_company(loaded: Loader) -> None:
    model = loaded("generation", "gpt2")
    params = {"do_sample": True, "seed": 5, "max_new_tokens": 20}
    wanted = DocumentInput(key="x", text="the old clock", params=params)
    others = [DocumentInput(key=i, text=s, params={**params, "seed": i}) for i, s in enumerate(SENTENCES)]
    alone = drain(GenerationEngine(model), [wanted])["x"]
    crowd = drain(GenerationEngine(model), [*others, wanted])["x"]
    assert alone.output == crowd.output
    assert alone.provenance is not None
    assert alone.provenance["seed"] == 5


def test_a_stop_string_ends_the_text_before_it(loaded: Loader) -> None:
    engine = GenerationEngine(loaded("generation", "gpt2"))
    params = {"max_new_tokens": 30}
    free = drain(engine, [DocumentInput(key=0, text="the dog", params=params)])[0].output
    assert free is not None
    stop = free["text"][5:7]
    cut_off = drain(engine, [DocumentInput(key=0, text="the dog", params={**params, "stop": [stop]})])[0]
    assert cut_off.output == {"text": free["text"][: free["text"].index(stop)], "finish_reason": "stop"}


def test_a_prompt_that_does_not_fit_is_refused_and_its_mates_go_on(loaded: Loader) -> None:
    answered = drain(
        GenerationEngine(loaded("generation", "gpt2")),
        [
            DocumentInput(key="long", text="the cat " * 200),
            DocumentInput(key="ok", text="the cat", params={"max_new_tokens": 3}),
        ],
    )
    assert answered["long"].error_code == "too_long"
    assert answered["ok"].output is not None


def test_several_sequences_come_back_as_texts(loaded: Loader) -> None:
    engine = GenerationEngine(loaded("generation", "gpt2"))
    params = {"num_return_sequences": 3, "num_beams": 4, "max_new_tokens": 6}
    output = drain(engine, [DocumentInput(key=0, text="the", params=params)])[0].output
    assert output is not None
    assert len(output["texts"]) == 3
    assert output["texts"][0] == output["text"]
    assert output["finish_reasons"][0] == output["finish_reason"]
    assert len(output["finish_reasons"]) == 3
    refused = drain(engine, [DocumentInput(key=0, text="the", params={"num_return_sequences": 3})])[0]
    assert refused.error_code == "invalid_parameter"


def test_long_translations_keep_their_paragraphs(loaded: Loader) -> None:
    model = loaded("translation", "marian")
    text = "The dog runs. " * 12 + "\n\n" + "The cat sees it!"
    output = drain(TranslationEngine(model), [DocumentInput(key=0, text=text)])[0]
    assert output.output is not None
    assert output.output["text"].count("\n\n") == 1


def test_a_model_that_cannot_run_continuously_decodes_by_generate(loaded: Loader) -> None:
    model = loaded("generation", "bloom")
    documents = _documents(4, 8, longest=10)
    answered = drain(GenerationEngine(model), documents)
    for document in documents:
        assert _text(answered[document.key]) == _alone(model, document.text, document.params)
