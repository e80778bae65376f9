"""`make eval-*`: what is asked of a server for each set, and how its answers are scored."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import quality_qa, quality_sentiment
from recipes.questions import Question
from recipes.rated import Rated


def test_sentiment_is_scored_by_set_and_neutral_texts_by_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    sets = {"comments": [Rated("good", 1.0), Rated("bad", 0.0)], "products": [Rated("fine", 1.0)]}
    monkeypatch.setattr(quality_sentiment, "test_rows", lambda data: sets)
    monkeypatch.setattr(
        quality_sentiment, "read_neutral", lambda data, split: [Rated("a", 0.5), Rated("b", 0.5)]
    )
    rows, score = quality_sentiment.sentiment(Path("anywhere"))
    assert [row["text"] for row in rows] == ["good", "bad", "fine", "a", "b"]
    said = [0.9, 0.8, 0.1, 0.5, 0.99]
    figures = score([{"scores": {"POSITIVE": p, "NEGATIVE": 1 - p}} for p in said])
    assert figures["comments_accuracy"] == 50.0
    assert figures["comments_calibration_error"] == pytest.approx((0.1 + 0.8) / 2, abs=1e-6)
    assert figures["products_accuracy"] == 0.0
    assert figures["neutral_in_the_middle"] == 50.0
    assert "products_accuracy" not in score([{"scores": {"POSITIVE": 0.9}}] * 2)  # --limit 2


def test_answers_are_scored_by_set_and_silence_is_asked_for_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    known = Question(text="Who?", context="Ada did.", answers=("Ada",), start=0)
    silent = Question(text="Why?", context="Ada did.", answers=(), start=-1)
    monkeypatch.setattr(
        quality_qa, "test_questions", lambda data: {"squad": [known], "unanswerable": [silent]}
    )
    rows, score = quality_qa.qa(Path("anywhere"))
    assert [row.get("params") for row in rows] == [None, {"allow_no_answer": True}, {"allow_no_answer": True}]
    outputs = [{"answer": "Ada", "score": 0.7}, {"answer": "", "score": 0.9}, {"answer": "Ada", "score": 0.5}]
    figures = score(outputs)
    assert figures["squad_f1"] == figures["squad_exact"] == 100.0
    assert figures["squad_calibration_error"] == pytest.approx(0.3)
    assert figures["unanswerable_left_unanswered"] == 100.0
    assert figures["squad_left_unanswered"] == 0.0
