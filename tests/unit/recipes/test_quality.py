"""`make eval-*`: what is asked of a server for each set, and how its answers are scored."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import quality, quality_qa, quality_sentiment, unseen
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


class Silent(AbstractContextManager["Silent"]):
    """A server by the client's own words, that calls every text positive as surely as its model's name says."""

    def __init__(self, models: Mapping[str, str | None]) -> None:
        self._score = float(models["sentiment"] or 0.5)

    def __exit__(self, *_: object) -> None: ...

    def submit(self, rows: Sequence[Mapping[str, Any]], **_: object) -> Silent:
        self._rows = rows
        return self

    def wait(self) -> Silent:
        return self

    def results(self) -> list[SimpleNamespace]:
        p = self._score
        output = {"label": "POSITIVE", "score": p, "scores": {"POSITIVE": p, "NEGATIVE": 1 - p}}
        return [SimpleNamespace(output=output, error=None) for _ in self._rows]


def test_weights_before_and_now_are_measured_on_the_same_rows_and_shown_beside_each_other(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Issue 20: `make eval-*` prints old and new weights beside each other."""
    monkeypatch.setattr(quality_sentiment, "test_rows", lambda data: {"products": [Rated("fine", 1.0)]})
    monkeypatch.setattr(quality_sentiment, "read_neutral", lambda data, split: [Rated("a", 0.5)])
    monkeypatch.setattr(quality, "served", lambda models, url: Silent(models))
    asked = ["quality", "sentiment", "--data", str(tmp_path), "--before", "0.2", "--model", "0.7"]
    monkeypatch.setattr("sys.argv", asked)
    assert quality.main() == 0
    first, second, *table = capsys.readouterr().out.splitlines()
    assert json.loads(first)["model"] == "0.2"
    assert json.loads(second)["products_accuracy"] == 100.0
    assert "| products_accuracy | 0 | 100 |" in table
    assert "| neutral_in_the_middle | 0 | 100 |" in table


def test_every_unseen_document_is_shown_as_it_came_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Issue 20: twenty of each task, chosen before the training, good and bad."""
    monkeypatch.setattr(unseen, "served", Silent)
    monkeypatch.setattr("sys.argv", ["unseen", "--before", "sentiment=0.61", "--model", "sentiment=0.98"])
    assert unseen.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| document | before | now |"
    documents = [json.loads(line) for line in Path(unseen.__file__).with_name("unseen.jsonl").open()]
    assert [line.split(" | ")[0] for line in lines[2:]] == [f"| {row['text']}" for row in documents]
    assert all(line.endswith("| POSITIVE (0.61) | POSITIVE (0.98) |") for line in lines[2:])
    assert min(Counter(row["task"] for row in documents).values()) == 20
