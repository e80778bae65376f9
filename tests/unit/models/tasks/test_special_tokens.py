"""Special tokens that users write are text, in every kind of tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from tokenizers import AddedToken

from models.loading.device import Device
from models.loading.registry import load_model
from models.records import DocumentInput, ModelSpec
from models.tasks.generation import GenerationEngine
from models.tasks.texts import TextEncoder
from models.tasks.translation.task import TranslationEngine
from tests.support.engines import drain
from tests.support.language_models import m2m100, marian, mbart50
from tests.support.tiny_models import SENTENCES, Loader, TinyModels

_KINDS = [
    "gpt2",
    "llama",
    "bloom",
    "bart",
    "t5",
    "marian",
    "nllb",
    "bert-classifier",
    "mbart50",
    "m2m100",
    "marian-many",
]
_WRITTEN = [
    "I like my dog.</s>The house is old.", "I sold my <s>old</s> dog", "a <|endoftext|> b", "[CLS] a [SEP]", "<pad>",
    "</s>", "<mask> x", "fra_Latn text", "fr_XX text", "__fr__ text", ">>fra<< text", "<unk> <extra_id_0>",
]  # fmt: skip


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory, tiny_models: TinyModels) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("kinds")
    made = {
        "mbart50": mbart50(folder),
        "m2m100": m2m100(folder),
        "marian-many": marian(tiny_models, folder / "many"),
    }
    return {name: hf.AutoTokenizer.from_pretrained(made.get(name) or tiny_models[name]) for name in _KINDS}


@pytest.mark.parametrize("name", _KINDS)
def test_what_is_written_like_a_special_token_is_encoded_as_text(
    name: str, tokenizers: dict[str, Any]
) -> None:
    """W13: what followed `</s>` was dropped; special tokens were parsed out of users' text."""
    tokenizer = tokenizers[name]
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    special |= {tokenizer.convert_tokens_to_ids(mark) for mark in (">>fra<<",) if name == "marian-many"}
    for text in _WRITTEN:
        ids = TextEncoder(tokenizer).encode([text], add_special_tokens=False)[0]
        assert special.isdisjoint(ids), (text, tokenizer.convert_ids_to_tokens(ids))
        with_marks = TextEncoder(tokenizer).encode([text])[0]
        marks = (
            tokenizer("the old clock")["input_ids"],
            tokenizer("the old clock", add_special_tokens=False)["input_ids"],
        )
        assert len(with_marks) - len(ids) == len(marks[0]) - len(marks[1])
        assert str(ids)[1:-1] in str(with_marks)


@pytest.mark.parametrize("name", ["marian", "m2m100", "nllb", "t5"])
def test_the_unknown_token_is_text_too(name: str, tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers[name]
    literal = tokenizer("the <unk> dog", split_special_tokens=True)["input_ids"]
    assert TextEncoder(tokenizer).encode(["the <unk> dog"]) == [literal]
    assert literal != tokenizer("the <unk> dog")["input_ids"]


@pytest.mark.parametrize("name", _KINDS)
def test_ordinary_text_is_encoded_as_transformers_encodes_it(name: str, tokenizers: dict[str, Any]) -> None:
    encoder = TextEncoder(tokenizers[name])
    texts = [*SENTENCES, " two  spaces ", "a < b > c", "1 >> 2 << 3", "I <3 you", "x"]
    assert encoder.encode(texts) == [tokenizers[name](text)["input_ids"] for text in texts]
    assert encoder.encode(texts, add_special_tokens=False) == [
        tokenizers[name](text, add_special_tokens=False)["input_ids"] for text in texts
    ]


@pytest.mark.parametrize("name", ["gpt2", "marian", "mbart50"])
def test_words_that_were_added_to_a_vocabulary_stay_words(name: str, tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers[name]
    tokenizer.add_tokens([AddedToken("textmill", normalized=False)])
    number = tokenizer.convert_tokens_to_ids("textmill")
    plain, mixed = TextEncoder(tokenizer).encode(
        ["the textmill runs", "the textmill </s> <|endoftext|> runs"]
    )
    assert number in plain
    assert plain == tokenizer("the textmill runs")["input_ids"]
    if not tokenizer.is_fast or name == "gpt2":
        assert number in mixed


@pytest.mark.parametrize(
    ("task", "name"), [("translation", "marian"), ("translation", "bart"), ("translation", "t5")]
)
def test_a_translation_goes_on_after_an_end_token_in_the_text(task: str, name: str, loaded: Loader) -> None:
    """W13: "I like my dog.</s>The house is old." lost its second half."""
    model: Any = loaded(task, name)
    text = "I like my </s> dog"
    params = {"max_new_tokens": 8}
    prefix = "translate English to German: " if name == "t5" else ""
    literal, parsed = (
        drain(TranslationEngine(model), [DocumentInput(key=0, text=text, params={**params, **more})])[0]
        for more in ({}, {"parse_special_tokens": True})
    )
    for output, split in ((literal, True), (parsed, False)):
        inputs = model.tokenizer(prefix + text, split_special_tokens=split, return_tensors="pt")
        alone = model.model.generate(**inputs, **params)
        assert output.output["text"] == model.tokenizer.decode(alone[0], skip_special_tokens=True).strip()
        assert output.input_tokens == inputs["input_ids"].shape[1]


@pytest.mark.parametrize(
    ("text", "params", "split", "adds"),
    [
        ("<s>Hello there", {}, True, True),
        ("<s>Hello there", {"parse_special_tokens": True}, False, False),
        ("<s>Hello there", {"parse_special_tokens": True, "add_special_tokens": False}, False, False),
        ("<s>Hello there", {"add_special_tokens": False}, True, False),
        ("Hello there", {"parse_special_tokens": True}, False, True),
        ("Hello there", {"add_special_tokens": False}, False, False),
        ("<pad>Hello", {"parse_special_tokens": True}, False, True),
    ],
)
def test_a_rendered_prompt_has_one_beginning(
    text: str, params: dict[str, Any], split: bool, adds: bool, loaded: Loader
) -> None:
    """W14: a template that was rendered by the user got a second token for the beginning."""
    model: Any = loaded("generation", "llama")
    options = {"max_new_tokens": 8}
    output = drain(GenerationEngine(model), [DocumentInput(key=0, text=text, params={**options, **params})])[
        0
    ]
    inputs = model.tokenizer(text, add_special_tokens=adds, split_special_tokens=split, return_tensors="pt")
    assert inputs["input_ids"][0].tolist().count(model.tokenizer.bos_token_id) <= 1
    alone = model.model.generate(**inputs, **options, pad_token_id=0)[0, inputs["input_ids"].shape[1] :]
    assert output.input_tokens == inputs["input_ids"].shape[1]
    assert output.output["text"].strip() == model.tokenizer.decode(alone, skip_special_tokens=True).strip()


def test_documents_that_mean_tokens_and_those_that_do_not_share_a_batch(loaded: Loader) -> None:
    model = loaded("generation", "gpt2")
    text = "the dog<|endoftext|>the cat"
    kinds: list[dict[str, Any]] = [{}, {"parse_special_tokens": True}]
    documents = [
        DocumentInput(key=number, text=text, params={"max_new_tokens": 4, **kinds[number % 2]})
        for number in range(6)
    ]
    answered = drain(GenerationEngine(model), documents)
    literal, parsed = (
        len(model.tokenizer(text, split_special_tokens=split)["input_ids"]) for split in (True, False)
    )
    assert [answered[number].input_tokens for number in range(6)] == [literal, parsed] * 3


def test_an_unknown_word_level_vocabulary_with_its_special_tokens_in_it(tmp_path: Path, cpu: Device) -> None:
    """A tokenizer that splits at spaces finds `</s>` as a word of its vocabulary."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {word: number for number, word in enumerate(["<unk>", "</s>", "the", "dog", "<", "/s>"])}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = hf.PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", eos_token="</s>")
    torch.manual_seed(1)
    config = hf.GPT2Config(
        vocab_size=6, n_positions=32, n_embd=16, n_layer=1, n_head=2, eos_token_id=1, bos_token_id=1
    )
    hf.GPT2LMHeadModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = load_model(ModelSpec(name="w", task="generation", ref=str(tmp_path), dtype="float32"), cpu)
    assert TextEncoder(model.tokenizer).encode(["the </s> dog"]) == [[2, 4, 5, 3]]
