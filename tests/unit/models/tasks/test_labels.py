"""Labels: their names, their scores, and how many are told."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.records import DocumentInput
from models.tasks.labels import label_names
from models.tasks.sentiment import SentimentEngine
from tests.support.engines import drain
from tests.support.tiny_encoders import alone, random_texts, tiny


@pytest.mark.parametrize("num_labels", [1, 2, 3, 5])
@pytest.mark.parametrize(
    "problem", [None, "regression", "single_label_classification", "multi_label_classification"]
)
def test_scores_are_those_of_the_pipeline(num_labels: int, problem: str | None) -> None:
    if num_labels == 1 and problem == "single_label_classification":
        pytest.skip("transformers refuses such a configuration")
    model = tiny("bert", "sentiment", num_labels=num_labels, problem_type=problem)
    right, engine = alone(model), SentimentEngine(model)
    for text in random_texts(3):
        output = _output(engine, text)
        expected = right(text)
        assert output["scores"] == pytest.approx(expected, abs=2e-5)
        assert output["label"] == max(expected, key=expected.__getitem__)
        assert list(output["scores"].values()) == sorted(output["scores"].values(), reverse=True)


def test_labels_of_one_name_are_numbered() -> None:
    """W24: `label: neutral .478`, `scores.neutral: .071`: the one overwrote the other."""
    names = {0: "neutral", 1: "good", 2: "neutral", 3: "neutral"}
    model = tiny("bert", "sentiment", id2label=names)
    distinct = tiny("bert", "sentiment", model.tokenizer, id2label=dict(enumerate("abcd")))
    right, engine = alone(distinct), SentimentEngine(model)
    for text in random_texts(4):
        output = _output(engine, text)
        expected = right(text)
        keys = ("neutral", "good", "neutral (2)", "neutral (3)")
        assert output["scores"] == pytest.approx(
            dict(zip(keys, expected_in_order(expected), strict=True)), abs=2e-5
        )
        assert output["scores"][output["label"]] == output["score"]
    assert engine.describe()["labels"] == ["neutral", "good", "neutral (2)", "neutral (3)"]


def expected_in_order(scores: dict[str, float]) -> list[float]:
    return [scores[name] for name in "abcd"]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({0: "a", 1: "a", 2: "a (2)"}, ["a", "a (3)", "a (2)"]),
        ({0: 1, 1: 2.5}, ["1", "2.5"]),
        ({0: "", 1: ""}, ["", " (2)"]),
        ({1: "b", 0: "a"}, ["a", "b"]),
    ],
)
def test_every_label_has_a_name_of_its_own(given: dict[int, Any], names: list[str]) -> None:
    assert label_names(given) == names


def test_more_labels_may_be_asked_for_than_there_are() -> None:
    engine = SentimentEngine(tiny("bert", "sentiment", num_labels=3))
    assert len(_output(engine, "the dog", top_k=50)["scores"]) == 3
    assert len(_output(engine, "the dog", top_k=2)["scores"]) == 2


def test_labels_without_names_are_numbered_as_transformers_does() -> None:
    engine = SentimentEngine(tiny("bert", "sentiment", num_labels=2, id2label=None))
    assert engine.describe()["labels"] == ["LABEL_0", "LABEL_1"]


def test_the_scores_of_a_long_text_are_the_mean_of_its_windows() -> None:
    """The closed form: windows of the model's length, weighted by the tokens that each adds."""
    tokenizer_limit = 20
    model = tiny("bert", "sentiment")
    model.tokenizer.model_max_length = tokenizer_limit
    text = " ".join(random_texts(4))
    ids = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    room, overlap = tokenizer_limit - 2, (tokenizer_limit - 2) // 4
    parts = [ids[at : at + room] for at in range(0, len(ids) - overlap, room - overlap)]
    weights = [len(parts[0]), *(len(part) - overlap for part in parts[1:])]
    assert sum(weights) == len(ids)
    means = [0.0, 0.0]
    for part, weight in zip(parts, weights, strict=True):
        scores = _forward(model, [model.tokenizer.cls_token_id, *part, model.tokenizer.sep_token_id])
        means = [mean + weight * score / len(ids) for mean, score in zip(means, scores, strict=True)]
    output = _output(SentimentEngine(model), text)
    assert [output["scores"][name] for name in ("LABEL_0", "LABEL_1")] == pytest.approx(means, abs=2e-5)


def _forward(model: Any, ids: list[int]) -> list[float]:
    with torch.inference_mode():
        scores: list[float] = model.model(torch.tensor([ids])).logits[0].softmax(-1).tolist()
    return scores


def _output(engine: SentimentEngine, text: str, **params: Any) -> Any:
    output = drain(engine, [DocumentInput(key=0, text=text, params=params)])[0]
    assert output.output is not None, output.error_message
    return output.output
