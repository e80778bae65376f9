"""Translations of whole texts: each sentence as `generate` translates it alone, all else as it was sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from models.loading.device import Device
from models.loading.registry import LoadedModel, load_model
from models.records import DocumentInput, ModelSpec
from models.tasks.translation.task import TranslationEngine
from tests.support.engines import drain
from tests.support.language_models import marian, translated_alone
from tests.support.tiny_models import Loader, TinyModels

_SHORT = {"max_new_tokens": 6}


def _translated(model: LoadedModel, text: str, **params: Any) -> Any:
    return drain(TranslationEngine(model), [DocumentInput(key=0, text=text, params=params)])[0]


def _expected(model: LoadedModel, parts: list[str], **options: Any) -> str:
    """Parts in «» translated alone, the others as they are."""
    return "".join(
        translated_alone(model, part[1:-1], **options) if part.startswith("«") else part for part in parts
    )


@pytest.mark.parametrize("name", ["marian", "t5"])
def test_sentences_are_translated_one_by_one_whatever_the_configuration_says_not(
    name: str, loaded: Loader
) -> None:
    """W8: a model without our own `max_joined_tokens` got eight sentences at once, and gave three."""
    model = loaded("translation", name)
    assert not hasattr(model.config, "max_joined_tokens")
    sentences = ["The dog runs.", "The cat sleeps.", "Ada wrote it.", "He left.", "Nobody knew.", "A film."]
    prefix = "translate English to German: " if name == "t5" else ""
    answered = _translated(model, " ".join(sentences), **_SHORT)
    assert answered.output["text"] == " ".join(
        translated_alone(model, prefix + each, **_SHORT) for each in sentences
    )


def test_a_configuration_may_ask_for_joined_sentences(
    tiny_models: TinyModels, tmp_path: Path, cpu: Device
) -> None:
    folder = marian(tiny_models, tmp_path / "joining", target="de", max_joined_tokens=16)
    model = load_model(ModelSpec(name="m", task="translation", ref=str(folder), dtype="float32"), cpu)
    assert len(model.tokenizer("The cat. The dog.")["input_ids"]) <= 16
    assert len(model.tokenizer("The park. The river.")["input_ids"]) <= 16
    assert len(model.tokenizer("The cat. The dog. The park.")["input_ids"]) > 16
    answered = _translated(model, "The cat. The dog. The park. The river.\nThe film.", **_SHORT)
    parts = ["«The cat. The dog.»", " ", "«The park. The river.»", "\n", "«The film.»"]
    assert answered.output["text"] == _expected(model, parts, **_SHORT)


@pytest.mark.parametrize(
    "parts",
    [
        ["«Shopping list:»", "\n  - ", "«The bread.»", "\n    - ", "«The milk.»", "\n\t", "«The cheese.»"],
        ["1. ", "«The milk is cold.»", "\n2. ", "«The bread is warm.»"],
        ["«Mr. Brown is old.»"],
        ["  ", "«The park.»", "\r\n\r\n-\r\n1\r\n😀\r\n", "«The river.»", " 😀 ", "«The film.»", " \n"],
        ["\n  ... \n 12.50 \n"],
    ],
)
def test_layout_comes_back_as_it_was_sent(parts: list[str], loaded: Loader) -> None:
    """W16, W17, W18: indentation was lost; emoji, numbers and list marks became sentences."""
    model = loaded("translation", "marian")
    text = "".join(part.strip("«»") for part in parts)
    answered = _translated(model, text, **_SHORT)
    assert answered.output["text"] == _expected(model, parts, **_SHORT)
    assert len(answered.output["text"].splitlines()) == len(text.splitlines())


def test_a_soft_hyphen_changes_nothing(loaded: Loader) -> None:
    """W17: "The wea-ther" with a soft hyphen was translated as noise."""
    model = loaded("translation", "marian")
    answered = _translated(model, "The wea\u00adther is ni\u00adce today", **_SHORT)
    assert answered.output["text"] == translated_alone(model, "The weather is nice today", **_SHORT)


def test_a_sentence_that_does_not_fit_is_cut_at_spaces_and_nothing_is_lost(loaded: Loader) -> None:
    model = loaded("translation", "marian")
    words = "the old clock in the hall had stopped " * 6 + "x" * 120
    assert len(model.tokenizer(words)["input_ids"]) > 64
    answered = _translated(model, words, max_new_tokens=2)
    assert answered.error_code is None
    assert answered.input_tokens >= len(model.tokenizer(words)["input_ids"])


def test_a_row_of_dots_is_text_without_letters(loaded: Loader) -> None:
    """L1: it took minutes, and the worker with it."""
    answered = _translated(loaded("translation", "marian"), "." * 100_000)
    assert answered.output == {"text": "." * 100_000, "finish_reason": "stop"}
    assert answered.output_tokens == 0


def test_unseeded_sampling_draws_all_sentences_by_the_seed_that_is_reported(loaded: Loader) -> None:
    model = loaded("translation", "marian")
    text = "The dog runs. The cat sleeps. He left."
    first = _translated(model, text, do_sample=True, max_new_tokens=8)
    again = _translated(model, text, do_sample=True, max_new_tokens=8, seed=first.provenance["seed"])
    assert again.output == first.output


def test_nothing_follows_a_stop_string(loaded: Loader) -> None:
    model = loaded("translation", "marian")
    text = "The dog runs. The cat sleeps."
    free = _translated(model, text, max_new_tokens=12).output["text"]
    stop = free[2:4]
    answered = _translated(model, text, max_new_tokens=12, stop=[stop])
    assert answered.output == {"text": free[: free.index(stop)], "finish_reason": "stop"}
