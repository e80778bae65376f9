"""Sentiment and question answering against transformers' pipeline and a plain search."""

from __future__ import annotations

import random

import pytest
import torch
from transformers import pipeline

from models.loading.registry import LoadedModel
from models.records import DocumentInput, DocumentOutput
from models.tasks.qa.task import QaEngine
from models.tasks.sentiment import SentimentEngine
from tests.support.engines import drain
from tests.support.tiny_models import SENTENCES, WORDS, Loader


@pytest.mark.parametrize("name", ["bert-classifier", "bert-five-labels", "bert-multi-label"])
def test_sentiment_equals_the_pipeline(name: str, loaded: Loader) -> None:
    model = loaded("sentiment", name)
    reference = pipeline("text-classification", model=model.model, tokenizer=model.tokenizer, top_k=None)
    answered = drain(SentimentEngine(model), [DocumentInput(key=i, text=t) for i, t in enumerate(SENTENCES)])
    for number, text in enumerate(SENTENCES):
        expected = {row["label"]: row["score"] for row in reference(text)[0]}
        output = answered[number].output
        assert output is not None
        assert output["label"] == max(expected, key=expected.__getitem__)
        assert output["scores"] == pytest.approx(expected, abs=1e-5)


def test_every_part_of_a_long_text_counts_for_sentiment(loaded: Loader) -> None:
    model = loaded("sentiment", "bert-classifier")
    long = " ".join(SENTENCES)
    answered = drain(SentimentEngine(model), [DocumentInput(key=0, text=long)])[0]
    assert answered.output is not None
    assert sum(answered.output["scores"].values()) == pytest.approx(1.0, abs=1e-5)
    assert answered.input_tokens == len(model.tokenizer(long, add_special_tokens=False)["input_ids"])
    assert not answered.truncated


def test_nan_from_the_model_fails_its_document_alone(loaded: Loader) -> None:
    engine = _OneRowIsNaN(loaded("sentiment", "bert-classifier"))
    texts = [*SENTENCES[:4], "NaN " + SENTENCES[4]]
    answered = drain(engine, [DocumentInput(key=i, text=t) for i, t in enumerate(texts)])
    assert [answered[i].error_code for i in range(5)] == [None] * 4 + ["not_finite"]


class _OneRowIsNaN(SentimentEngine):
    """A model that overflows on whatever text begins with NaN."""

    def forward(self, pieces):  # type: ignore[no-untyped-def]
        outputs = super().forward(pieces)
        marker = self.loaded.tokenizer("NaN", add_special_tokens=False)["input_ids"]
        for row, piece in enumerate(pieces):
            if piece.data.tokens.ids[1 : 1 + len(marker)] == marker:
                outputs.logits[row] = float("nan")
        return outputs


def test_qa_finds_the_span_that_a_plain_search_finds(loaded: Loader) -> None:
    model = loaded("qa", "bert-qa")
    draw = random.Random(3)
    documents = [
        DocumentInput(
            key=number,
            text=" ".join(draw.choices(WORDS, k=3)),
            context=" ".join(draw.choices(WORDS, k=draw.randint(3, 12))),
            params={"max_answer_length": draw.choice([3, 8, 15])},
        )
        for number in range(25)
    ]
    answered = drain(QaEngine(model), documents)
    for document in documents:
        output = answered[document.key].output
        assert output is not None
        assert (output["start"], output["end"]) == _plain_search(model, document)
        assert document.context is not None
        assert output["answer"] == document.context[output["start"] : output["end"]]


def test_qa_reads_all_windows_of_a_long_context(loaded: Loader) -> None:
    model = loaded("qa", "bert-qa")
    context = " ".join(SENTENCES)
    answered = _ask(model, "the clock", context, {"top_k": 3, "allow_no_answer": True})
    assert answered.output is not None
    answers = answered.output["answers"]
    assert len(answers) == 3
    assert all(context[a["start"] : a["end"]] == a["answer"] for a in answers)
    assert [a["score"] for a in answers] == sorted((a["score"] for a in answers), reverse=True)
    assert answered.input_tokens > 100


def test_qa_counts_characters_of_any_script_as_the_user_does(loaded: Loader) -> None:
    context = "😀 Die Katze schläft 😀 auf dem Sofa — während der Hund bellt."
    answered = _ask(loaded("qa", "bert-qa"), "wer", context, {})
    assert answered.output is not None
    output = answered.output
    assert context[output["start"] : output["end"]] == output["answer"] != ""


def test_a_question_without_a_context_or_too_long_fails_with_a_reason(loaded: Loader) -> None:
    model = loaded("qa", "bert-qa")
    assert _ask(model, "the clock", None, {}).error_code == "invalid_parameter"
    assert _ask(model, "the clock " * 60, "the dog", {}).error_code == "too_long"


def _ask(model: LoadedModel, text: str, context: str | None, params: dict[str, object]) -> DocumentOutput:
    document = DocumentInput(key=0, text=text, context=context, params=params)
    return drain(QaEngine(model), [document])[0]


def _plain_search(model: LoadedModel, document: DocumentInput) -> tuple[int, int]:
    """The best span, and the words around it by transformers' own account."""
    encoded = model.tokenizer(
        document.text, document.context, return_offsets_mapping=True, return_tensors="pt"
    )
    encoded.pop("offset_mapping")
    parts = encoded.sequence_ids(0)
    with torch.inference_mode():
        scores = model.model(**encoded)
    start, end = scores.start_logits[0].tolist(), scores.end_logits[0].tolist()
    best = max(
        (start[i] + end[j], -i, -j)
        for i in range(len(start))
        for j in range(i, min(len(start), i + document.params["max_answer_length"]))
        if parts[i] == 1 and parts[j] == 1
    )
    first, last = (encoded.token_to_word(-place) for place in best[1:])
    return encoded.word_to_chars(first, sequence_index=1)[0], encoded.word_to_chars(last, sequence_index=1)[1]
