"""A text gets the same scores in company as alone, whatever the architecture."""

from __future__ import annotations

import random
from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.encoders.forward import EncoderForward
from models.encoders.window_limit import noted_lookups
from models.errors import CannotLoad
from models.records import DocumentInput
from models.tasks.qa.task import QaEngine
from models.tasks.sentiment import SentimentEngine
from tests.support.engines import drain
from tests.support.tiny_encoders import KINDS, TOKENIZERS, alone, as_loaded, bertweet, random_texts, tiny

_ORDERS = (0, 1)
_BY_EQUAL_LENGTHS = {"convbert", "fnet", "mobilebert", "nystromformer", "yoso", "canine", "bigbird"}
_BY_BATCHES = set(KINDS) - _BY_EQUAL_LENGTHS


@pytest.fixture(autouse=True)
def _own_verdicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_text_has_the_scores_that_transformers_gives_it_alone(kind: str) -> None:
    """W3, W5: padding beside a text changed its label (convolutions, Fourier, XLNet's side, sparse blocks)."""
    model = tiny(kind, "sentiment", num_labels=3)
    right = alone(model)
    engine = SentimentEngine(model)
    texts = random_texts(14)
    for order in _ORDERS:
        numbers = list(range(len(texts)))
        random.Random(order).shuffle(numbers)
        answered = drain(engine, [DocumentInput(key=n, text=texts[n]) for n in numbers])
        for number in numbers[:6]:
            output = answered[number].output
            assert output is not None, answered[number].error_message
            assert output["scores"] == pytest.approx(right(texts[number]), abs=2e-5)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"xmod"}))
def test_an_answer_does_not_depend_on_the_questions_beside_it(kind: str) -> None:
    """W3, for question answering."""
    texts = random_texts(20, seed=1)
    documents = [
        DocumentInput(key=n, text=texts[n], context=texts[-1 - n], params={"top_k": 3}) for n in range(10)
    ]
    engine = QaEngine(tiny(kind, "qa"))
    together = drain(engine, documents)
    for document in documents:
        one, other = together[document.key].output, drain(engine, [document])[document.key].output
        assert one is not None
        assert other is not None
        assert (one["start"], one["end"]) == (other["start"], other["end"])
        assert one["score"] == pytest.approx(other["score"], rel=1e-3)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_fastest_right_way_is_taken_and_said(kind: str) -> None:
    facts = SentimentEngine(tiny(kind, "sentiment")).describe()
    assert facts["proven"] is True
    assert facts["way"] == ("batches of equal length" if kind in _BY_EQUAL_LENGTHS else "batches")
    assert ("why" in facts) == (kind in _BY_EQUAL_LENGTHS)


#: Windows, blocks, strides and buckets as long as those of real models, and as narrow as tiny ones.
_REAL_WINDOWS: dict[str, dict[str, Any]] = {
    "longformer": {"attention_window": [512, 512], "max_position_embeddings": 2048},
    "bigbird": {"block_size": 64, "num_random_blocks": 3, "max_position_embeddings": 2048},
    "modernbert": {"local_attention": 128, "max_position_embeddings": 2048},
    "canine": {"local_transformer_stride": 128, "max_position_embeddings": 2048},
    "deberta": {"position_buckets": 256, "pos_att_type": ["c2p", "p2c"], "max_position_embeddings": 1024},
    "mistral": {"sliding_window": 512, "max_position_embeddings": 2048},
    "xlnet": {"clamp_len": 400, "mem_len": 384},
}


@pytest.mark.parametrize("kind", sorted(_REAL_WINDOWS))
def test_texts_beyond_a_window_of_real_size_are_computed_in_company(kind: str) -> None:
    """A Longformer with a window of 512 went one at a time beyond 157 tokens: no trial crossed its window."""
    model = tiny(kind, "sentiment", num_labels=3, **_REAL_WINDOWS[kind])
    right, engine = alone(model), SentimentEngine(model)
    facts = engine.describe()
    assert facts["way"] == ("batches of equal length" if kind in _BY_EQUAL_LENGTHS else "batches")
    assert "proven_tokens" not in facts
    texts = random_texts(6, lengths=(5, 40, 330))
    answered = drain(engine, [DocumentInput(key=n, text=text) for n, text in enumerate(texts)])
    for number, text in enumerate(texts):
        if len(model.tokenizer(text)["input_ids"]) <= engine.describe()["max_tokens"]:
            output = answered[number].output
            assert output is not None
            assert output["scores"] == pytest.approx(right(text), abs=2e-5)


def test_every_text_is_padded_to_a_window_no_more_than_once_at_loading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The trial of a Longformer computed every row with 512 tokens; now only the very first one."""
    model = tiny("longformer", "sentiment", attention_window=[512, 512], max_position_embeddings=2048)
    monkeypatch.setattr("models.encoders.proof._CPU_WORK", 1)  # as for a large model
    monkeypatch.setattr("models.encoders.company._WORK", 1)
    long: list[int] = []
    embeddings = model.model.longformer.embeddings
    embeddings.register_forward_pre_hook(
        lambda _, args, options: long.append(options["input_ids"].shape[1]), with_kwargs=True
    )
    assert SentimentEngine(model).describe()["way"] == "batches"
    assert [count for count in long if count > 64] == [512]


class _Around(torch.nn.Module):
    """A classifier whose scores are changed."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.config = model.config

    @abstractmethod
    def change(self, logits: Any, input_ids: Any) -> Any: ...

    def forward(self, input_ids: Any, attention_mask: Any = None, token_type_ids: Any = None) -> Any:
        outputs = self.model(input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids)
        outputs.logits = self.change(outputs.logits, input_ids)
        return outputs


class _OneWindowForAll(_Around):
    """Texts of more than a window change with the longest beside them."""

    def change(self, logits: Any, input_ids: Any) -> Any:
        is_beyond = input_ids.shape[1] > self.config.attention_window
        return logits + float(is_beyond) * input_ids.shape[1]

    def num_parameters(self) -> int:
        return int(self.model.num_parameters())


def test_what_changes_beyond_a_window_alone_is_noticed() -> None:
    model = tiny("bert", "sentiment", attention_window=120)
    engine = SentimentEngine(as_loaded(_OneWindowForAll(model.model), model.tokenizer, "sentiment"))
    assert engine.describe()["way"] == "batches of equal length"


def test_what_is_longer_than_what_was_tried_is_computed_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A window that nothing shows to be read is no proof: here no code looks at it."""
    monkeypatch.setattr("models.encoders.proof._CPU_WORK", 1)
    model = tiny("bert", "sentiment", attention_window=84)
    right, engine = alone(model), SentimentEngine(model)
    facts = engine.describe()
    assert facts["proven_tokens"] == 42
    assert "42 tokens" in facts["why"]
    texts = random_texts(4, lengths=(2, 30))
    answered = drain(engine, [DocumentInput(key=n, text=text) for n, text in enumerate(texts)])
    for number, text in enumerate(texts):
        output = answered[number].output
        assert output is not None
        assert output["scores"] == pytest.approx(right(text), abs=2e-5)


def test_a_model_that_draws_random_numbers_gives_a_text_the_same_scores_each_time() -> None:
    model = tiny("bert", "sentiment")
    engine = SentimentEngine(as_loaded(_Drawing(model.model), model.tokenizer, "sentiment"))
    assert engine.describe()["way"] == "one at a time"
    texts = random_texts(6)
    documents = [DocumentInput(key=n, text=text) for n, text in enumerate(texts)]
    once, again = drain(engine, documents), drain(engine, documents[::-1])
    assert all(once[n].output == again[n].output for n in range(6))


class _Drawing(_Around):
    """Adds noise to a model's scores, as hashing with random planes does."""

    def change(self, logits: Any, input_ids: Any) -> Any:
        return logits + torch.randn_like(logits)

    def num_parameters(self) -> int:
        return int(self.model.num_parameters())


def test_a_short_text_does_not_change_how_a_later_long_one_is_read() -> None:
    """BigBird falls back to full attention at a short text, and stays there."""
    model = tiny("bigbird", "sentiment")
    right, engine = alone(model), SentimentEngine(model)
    long = random_texts(1, lengths=(30,))[0]
    for text in ("the dog", long, "a", long):
        output = drain(engine, [DocumentInput(key=0, text=text)])[0].output
        assert output is not None
        assert output["scores"] == pytest.approx(right(text), abs=2e-5)


# Rounding.


def test_scores_near_zero_are_not_held_to_more_digits_than_they_have() -> None:
    """RoBERTa in bfloat16 with scores near zero went one at a time: rounding was taken for padding seen."""
    assert _way_in_bfloat16("electra", seed=7) == "batches"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["canine", "mobilebert", "yoso"])
def test_what_rounding_does_not_explain_is_noticed_in_bfloat16(kind: str, seed: int) -> None:
    """MobileBERT's scores are moved by rounding as far as by padding, which is no proof of anything."""
    assert _way_in_bfloat16(kind, seed=seed) == "batches of equal length"


def _way_in_bfloat16(kind: str, *, seed: int) -> Any:
    model = tiny(kind, "sentiment", num_labels=1, seed=seed)
    loaded = replace(model, model=model.model.to(torch.bfloat16), dtype="bfloat16")
    return SentimentEngine(loaded).describe()["way"]


# Padding.


def test_the_padding_that_the_model_looks_for_is_used() -> None:
    """W3: RoBERTa counts positions from its config's padding id, decoders classify at the last other token."""
    for kind, pad in (("roberta", 1), ("llama", 5)):
        tokenizer = TOKENIZERS["bytes"]()
        tokenizer.pad_token = "<mask>"
        model = tiny(kind, "sentiment", tokenizer, pad_token_id=pad)
        right, engine = alone(model), SentimentEngine(model)
        texts = random_texts(8)
        answered = drain(engine, [DocumentInput(key=n, text=text) for n, text in enumerate(texts)])
        for number, text in enumerate(texts):
            output = answered[number].output
            assert output is not None
            assert output["scores"] == pytest.approx(right(text), abs=2e-5)


@pytest.mark.parametrize("pad", [None, -1])
def test_a_decoder_without_padding_of_its_own_classifies_in_batches(pad: int | None) -> None:
    model = tiny("gpt2", "sentiment", pad_token_id=pad)
    right, engine = alone(model), SentimentEngine(model)
    assert engine.describe()["way"] == "batches"
    texts = [*random_texts(6), "the dog<|endoftext|>"]
    parsed = {"parse_special_tokens": True}
    answered = drain(engine, [DocumentInput(key=n, text=t, params=parsed) for n, t in enumerate(texts)])
    for number, text in enumerate(texts):
        output = answered[number].output
        assert output is not None
        assert output["scores"] == pytest.approx(right(text), abs=2e-5)


# How much is read at once.


@pytest.mark.parametrize(
    ("kind", "said", "length", "most"),
    [
        ("bert", {}, 10**30, 128),
        ("roberta", {}, 10**30, 126),
        ("roberta", {"pad_token_id": 7}, None, 120),
        ("bert", {}, 48, 48),
        ("xlnet", {}, 10**30, 4096),
        ("xlnet", {}, None, 4096),
        ("llama", {"max_position_embeddings": 20_000}, 10**30, 20_000),
        ("t5", {}, -1, 4096),
    ],
)
def test_a_model_reads_as_much_as_it_can(kind: str, said: dict[str, Any], length: Any, most: int) -> None:
    """W5: XLNet's -1 was taken for a limit; tables may have places that are not for tokens."""
    tokenizer = TOKENIZERS[KINDS[kind][1]]()
    tokenizer.model_max_length = length
    assert SentimentEngine(tiny(kind, "sentiment", tokenizer, **said)).describe()["max_tokens"] == most


def test_a_text_of_the_longest_length_is_computed_at_once() -> None:
    for kind in ("roberta", "bart", "bert"):
        model = tiny(kind, "sentiment")
        right, engine = alone(model), SentimentEngine(model)
        words = random_texts(1, lengths=(200,))[0].split()
        most = engine.describe()["max_tokens"]
        count = next(
            n for n in range(1, 200) if len(model.tokenizer(" ".join(words[:n]))["input_ids"]) > most
        )
        text = " ".join(words[: count - 1])
        output = drain(engine, [DocumentInput(key=0, text=text)])[0].output
        assert output is not None
        assert output["scores"] == pytest.approx(right(text), abs=2e-5)


def test_a_table_of_positions_shows_itself() -> None:
    model = tiny("roberta", "sentiment")
    row = SentimentEngine(model).probe_row([9, 30, 12, 44, 7])
    forward = EncoderForward(model)
    with torch.inference_mode():
        assert noted_lookups(lambda: forward([row]), len(row.ids)).room == [126]


# Tokenizers and models that are refused, or not.


def test_a_slow_tokenizer_serves_sentiment(tmp_path: Path) -> None:
    """H12: every document was refused for want of offsets, which sentiment does not need."""
    tokenizer = bertweet(tmp_path)
    model = tiny("roberta", "sentiment", tokenizer, max_position_embeddings=66)
    right, engine = alone(model), SentimentEngine(model)
    texts = [*random_texts(4, lengths=(2, 5)), "I sold my <s>old</s> dog", " ".join(random_texts(6))]
    answered = drain(engine, [DocumentInput(key=n, text=text) for n, text in enumerate(texts)])
    for number, text in enumerate(texts[:4]):
        output = answered[number].output
        assert output is not None, answered[number].error_message
        assert output["scores"] == pytest.approx(right(text), abs=2e-5)
    assert answered[4].input_tokens == len(tokenizer._tokenize(texts[4]))
    assert answered[5].output is not None
    assert answered[5].input_tokens > engine.describe()["max_tokens"]


def test_question_answering_without_offsets_is_refused_with_what_to_do(tmp_path: Path) -> None:
    """H12"""
    with pytest.raises(CannotLoad, match=r"fast tokenizer \(a tokenizer\.json"):
        QaEngine(tiny("roberta", "qa", bertweet(tmp_path)))


def test_a_tokenizer_of_characters_answers_with_their_places() -> None:
    context = "Die Katze 😀 schläft </s> auf dem Sofa."
    document = DocumentInput(key=0, text="wer schläft?", context=context, params={"top_k": 4})
    output = drain(QaEngine(tiny("canine", "qa")), [document])[0].output
    assert output is not None
    assert all(context[a["start"] : a["end"]] == a["answer"] for a in output["answers"])
    assert all(set(a["answer"].split()) <= set(context.split()) for a in output["answers"])


@pytest.mark.parametrize(
    ("kind", "task", "said", "words"),
    [
        ("xmod", "sentiment", {"default_language": None}, "set_default_language"),
        ("t5", "sentiment", {"eos_token_id": 9}, "<eos>"),
        ("longformer", "qa", {"sep_token_id": 9}, "separator"),
        ("bert", "sentiment", {"id2label": {1: "a", 2: "b"}}, "number them from 0"),
    ],
)
def test_what_cannot_be_computed_is_refused_at_loading(
    kind: str, task: str, said: dict[str, Any], words: str
) -> None:
    """X-MOD without a language, heads that look for tokens which the tokenizer does not make."""
    with pytest.raises(CannotLoad, match=words):
        (SentimentEngine if task == "sentiment" else QaEngine)(tiny(kind, task, **said))


def test_a_model_that_reads_boxes_is_refused() -> None:
    KINDS["layoutlm"] = ("LayoutLM", "wordpiece", KINDS["bert"][2])
    try:
        with pytest.raises(CannotLoad, match="bbox"):
            SentimentEngine(tiny("layoutlm", "sentiment"))
    finally:
        del KINDS["layoutlm"]


def test_what_the_tokenizer_gives_and_the_model_does_not_take_is_left_out() -> None:
    """DistilBERT has no token types, and a BERT tokenizer gives them."""
    model = tiny("distilbert", "sentiment")
    model.tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    assert drain(SentimentEngine(model), [DocumentInput(key=0, text="the dog")])[0].output is not None


def test_the_context_comes_first_where_the_tokenizer_pads_on_the_left() -> None:
    """As in transformers' training script and pipeline, by which such models were trained."""
    model = tiny("xlnet", "qa")
    question, context = "the dog", "The weather is nice today"
    output = drain(QaEngine(model), [DocumentInput(key=0, text=question, context=context)])[0].output
    encoded = model.tokenizer(context, question, return_tensors="pt")
    with torch.inference_mode():
        scores = model.model(**encoded)
    start, end = scores.start_logits[0].numpy(), scores.end_logits[0].numpy()
    own = [n for n, part in enumerate(encoded.sequence_ids(0)) if part == 0]
    first, last = max(((i, j) for i in own for j in own if i <= j), key=lambda ij: start[ij[0]] + end[ij[1]])
    places = [*own, len(start) - 1]  # [CLS] is the last token
    both = np.exp(start[places]).sum() * np.exp(end[places]).sum()
    assert output is not None
    assert output["score"] == pytest.approx(np.exp(start[first] + end[last]) / both, rel=1e-3)


def test_what_was_found_out_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("fnet", "sentiment")
    first = SentimentEngine(model).describe()
    monkeypatch.setattr("models.tasks.encoder.prove", lambda *_, **__: pytest.fail("tried again"))
    assert SentimentEngine(model).describe() == first
