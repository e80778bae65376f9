"""Special tokens in a user's text are text, unless the caller means them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from transformers import TokenizersBackend

from models.encoders.literal import literal, make_literal
from models.encoders.reading import read
from models.encoders.vocabulary import ordinary_ids
from models.records import DocumentInput, DocumentOutput
from models.tasks.documents.document_engine import Prepared
from models.tasks.qa.task import QaEngine
from models.tasks.sentiment import SentimentEngine
from tests.support.engines import drain
from tests.support.tiny_encoders import TOKENIZERS, alone, bertweet, tiny

_TEXTS = (
    "I sold my <s>old</s> dog",
    "The house is old.</s>The clock had stopped",
    "[CLS] nobody knew [SEP] why [MASK] [PAD]",
    "the dog <pad> and <mask> the park<unk>",
    "<|endoftext|> I enjoy walking",
)


def _ids(tokenizer: Any, text: str, **params: bool) -> list[int]:
    return read(tokenizer, [text], [params])[0].ids


@pytest.mark.parametrize("name", sorted(TOKENIZERS))
@pytest.mark.parametrize("text", _TEXTS)
def test_no_text_holds_a_special_token(name: str, text: str) -> None:
    """W13. Unigram and whole words meet `</s>` as a piece of their vocabulary, whatever transformers is told."""
    tokenizer = TOKENIZERS[name]()
    make_literal(tokenizer)
    unknown = {tokenizer.unk_token_id} if tokenizer.unk_token not in (tokenizer.eos_token, None) else set()
    assert set(_ids(tokenizer, text)).isdisjoint(set(tokenizer.all_special_ids) - unknown)


@pytest.mark.parametrize("text", _TEXTS)
def test_no_text_of_a_slow_tokenizer_holds_one_either(tmp_path: Path, text: str) -> None:
    tokenizer = bertweet(tmp_path)
    make_literal(tokenizer)
    assert set(_ids(tokenizer, text)).isdisjoint(set(tokenizer.all_special_ids) - {tokenizer.unk_token_id})


@pytest.mark.parametrize("name", ["wordpiece", "bytes", "endless"])
@pytest.mark.parametrize("text", _TEXTS)
def test_a_text_is_read_as_transformers_reads_it_without_special_tokens(name: str, text: str) -> None:
    tokenizer = TOKENIZERS[name]()
    right = tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    make_literal(tokenizer)
    assert _ids(tokenizer, text) == right


def test_pieces_that_are_no_special_tokens_stay_what_they_were() -> None:
    """Characters that spell a special token's name give the tokens that they give apart from it."""
    tokenizer = TOKENIZERS["unigram"]()
    spelled = [tokenizer.convert_tokens_to_ids(one) for one in "</s>"]
    plain = tokenizer("the dog", add_special_tokens=False)["input_ids"]
    make_literal(tokenizer)
    assert _ids(tokenizer, "the dog</s>") == [*plain, *spelled]
    assert _ids(tokenizer, "the dog") == plain


@pytest.mark.parametrize("name", sorted(TOKENIZERS))
@pytest.mark.parametrize("text", _TEXTS)
def test_special_tokens_that_are_meant_are_read_as_transformers_does(name: str, text: str) -> None:
    right = TOKENIZERS[name]()(text, add_special_tokens=False)["input_ids"]
    tokenizer = TOKENIZERS[name]()
    make_literal(tokenizer)
    assert _ids(tokenizer, text, parse_special_tokens=True) == right
    assert literal({"parse_special_tokens": True}) == {"split_special_tokens": False}


@pytest.mark.parametrize("name", sorted(set(TOKENIZERS) - {"characters"}))
def test_ids_and_decoding_stay_what_they_were(name: str) -> None:
    before, after = TOKENIZERS[name](), TOKENIZERS[name]()
    make_literal(after)
    ids = before("the dog in the park")["input_ids"]
    assert after("the dog in the park")["input_ids"] == ids
    for skip in (False, True):
        assert after.decode(ids, skip_special_tokens=skip) == before.decode(ids, skip_special_tokens=skip)
    specials = before.all_special_tokens
    assert after.convert_tokens_to_ids(specials) == before.convert_tokens_to_ids(specials)
    assert after.convert_ids_to_tokens(ids) == before.convert_ids_to_tokens(ids)


def test_a_probe_draws_only_tokens_that_the_model_has() -> None:
    model = tiny("xlm-roberta", "sentiment")
    make_literal(model.tokenizer)
    assert max(ordinary_ids(model)) < model.config.vocab_size


def test_documents_that_mean_them_and_others_share_a_batch() -> None:
    tokenizer = TOKENIZERS["unigram"]()
    make_literal(tokenizer)
    params = [{}, {"parse_special_tokens": True}, {}, {"parse_special_tokens": False}]
    readings = read(tokenizer, ["a</s>"] * 4, params)
    end = tokenizer.eos_token_id
    assert [end in one.ids for one in readings] == [False, True, False, False]


def test_sentiment_of_a_text_with_special_tokens_is_of_the_text_alone() -> None:
    """W13"""
    model = tiny("bert", "sentiment")
    right, engine = alone(model), SentimentEngine(model)
    text = "the dog [SEP] the park [MASK]"
    as_text, as_tokens = (
        _output(engine, DocumentInput(key=0, text=text, params=params))
        for params in ({}, {"parse_special_tokens": True})
    )
    assert as_text["scores"] == pytest.approx(_as_text(model, text), abs=2e-5)
    assert as_tokens["scores"] == pytest.approx(right(text), abs=2e-5)
    assert as_text["scores"] != as_tokens["scores"]


def _as_text(model: Any, text: str) -> dict[str, float]:
    ids = model.tokenizer(text, split_special_tokens=True, return_tensors="pt")
    logits = model.model(**ids).logits[0].softmax(-1).tolist()
    return dict(zip(model.config.id2label.values(), logits, strict=True))


@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta", "longformer"])
def test_answers_count_the_characters_of_the_text_that_was_sent(kind: str) -> None:
    """W13, for question answering: `<s>` and `[SEP]` in a context have places, too."""
    context = "I sold </s> my <s>old</s> dog [SEP] in the [MASK] park <mask> 😀 tomorrow."
    document = DocumentInput(key=0, text="what [SEP] </s>?", context=context, params={"top_k": 20})
    output = _output(QaEngine(tiny(kind, "qa")), document)
    assert len(output["answers"]) > 10
    for answer in output["answers"]:
        assert context[answer["start"] : answer["end"]] == answer["answer"]


_INVISIBLE = ("\u200b\u200d", "\x01\x02", "\u2060 \ufeff", "\u00ad")


@pytest.mark.parametrize("invisible", _INVISIBLE)
@pytest.mark.parametrize("kind", ["bert", "roberta", "xlm-roberta"])
def test_what_has_nothing_to_read_is_refused_in_words(kind: str, invisible: str) -> None:
    """H3: `the model raised ValueError: need at least one array to concatenate`."""
    engine = QaEngine(tiny(kind, "qa"))
    no_context = DocumentInput(key=0, text="who?", context=invisible)
    no_question = DocumentInput(key=1, text=invisible, context="the dog")
    fine = DocumentInput(key=2, text="who?", context="the dog")
    answered = drain(engine, [no_context, no_question, fine])
    _assert_refused(answered[0], "context")
    _assert_refused(answered[1], "text")
    assert answered[2].output is not None
    _assert_refused(
        drain(SentimentEngine(tiny(kind, "sentiment")), [DocumentInput(key=0, text=invisible)])[0], "text"
    )


def test_a_text_of_which_the_tokenizer_keeps_nothing_is_refused() -> None:
    """H3: accents alone, which BERT's tokenizer strips."""
    tokenizer = TOKENIZERS["wordpiece"]()
    assert tokenizer("\u0301", add_special_tokens=False)["input_ids"] == []
    answered = drain(
        SentimentEngine(tiny("bert", "sentiment", tokenizer)), [DocumentInput(key=0, text="\u0301\u0300")]
    )
    _assert_refused(answered[0], "text")


def _assert_refused(output: DocumentOutput, name: str) -> None:
    assert output.error_code == "invalid_parameter"
    assert f"`{name}`" in str(output.error_message)


def _output(engine: Any, document: DocumentInput) -> Any:
    output = drain(engine, [document])[document.key]
    assert output.output is not None, output.error_message
    return output.output


def test_a_text_is_tokenised_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of every batch was read twice: a long document alone took twice its time."""
    loaded = tiny("bert", "sentiment")
    engine = SentimentEngine(loaded)
    text = "the old house and the dog " * 9
    read: list[str] = []
    encode = TokenizersBackend._encode_plus

    def noted(self: Any, text: Any, *args: Any, **more: Any) -> Any:
        read.extend([text] if isinstance(text, str) else text)
        return encode(self, text, *args, **more)

    monkeypatch.setattr(TokenizersBackend, "_encode_plus", noted)
    (prepared,) = engine.prepare([DocumentInput(key=0, text=text)])
    right = loaded.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
    assert read.count(text) == 1, "by this test alone; the engine's own call goes to the backend"
    assert isinstance(prepared, Prepared)
    own = prepared.pieces[0].data.tokens.ids[1 : 1 + len(right)]
    assert own == right[: len(own)]
