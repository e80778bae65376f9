"""What the question-answering model learns from: held-out articles stay out, and made-up silence is true."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

from models.loading.source import find_source
from recipes import qa_rows
from recipes.heldout import key_of
from recipes.qa_answers import Answer
from recipes.qa_course import temperature_of
from recipes.qa_pack import training_windows
from recipes.questions import Question, read_qamr, read_shifted
from recipes.unanswerable import altered, elsewhere

KEPT = "who is kept for testing?"


def squad(path: Path, articles: dict[str, list[dict[str, Any]]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"data": [{"title": title, "paragraphs": part} for title, part in articles.items()]}
    with gzip.open(path, "wt", encoding="utf-8") as file:
        json.dump(content, file)


def paragraph(context: str, *asked: tuple[str, list[str]]) -> dict[str, Any]:
    questions = [
        {
            "question": text,
            "id": text,
            "answers": [{"text": a, "answer_start": context.index(a)} for a in answers],
        }
        for text, answers in asked
    ]
    return {"context": context, "qas": questions}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Every set, small; each has a question that is kept for testing."""

    def articles() -> dict[str, list[dict[str, Any]]]:
        return {
            f"Town_{n}": [
                paragraph(f"Town {n} was founded in 18{n:02} by Ada Lee.", ("When was it founded?", [f"18{n:02}"]), (KEPT, ["Ada Lee"])),
                paragraph(f"The river by town {n} was dammed in 19{n:02}.", ("When was the river dammed?", [f"19{n:02}"])),
            ]
            for n in range(40)
        }  # fmt: skip

    for name in ("squad-dev/dev-v1.1.reconstructed", "squadshifts/new_wiki", "squadshifts/reddit"):
        squad(tmp_path / f"{name}.json.gz", articles())
    silent = {f"Town_{n}": [paragraph(f"Town {n} is old.", ("Who burnt it?", []))] for n in range(40)}
    squad(tmp_path / "squad-dev" / "dev-v2.0.reconstructed.json.gz", silent)
    for name in ("train", "val", "test"):
        squad(tmp_path / "fairytaleqa" / f"extractive-{name}.squad.json.gz", articles())
    folder = tmp_path / "qamr"
    folder.mkdir()
    (folder / "wiki-sentences.tsv").write_text(
        "Wiki1k:wikipedia:1:0:0\tAda left .\nWiki1k:wikinews:1:0:0\tTim stayed .\n"
    )
    lines = [
        f"Wiki1k:{source}:1:0:0\t0\t9\t0\t1\tWho did ?\t0\t0:0\t0:0" for source in ("wikipedia", "wikinews")
    ]
    (folder / "dev.tsv").write_text("\n".join(lines) + "\n")
    (folder / "test.tsv").write_text("")
    (tmp_path / "heldout.sha256").write_text(key_of(KEPT) + "\n")
    return tmp_path


def test_no_training_question_is_kept_for_testing_or_from_a_held_out_article(data: Path) -> None:
    """Issue 20: exclusions by heldout.sha256; whole articles, comments and sources are set aside."""
    train = qa_rows.training_questions(data, seed=1)
    aside = qa_rows.test_questions(data)
    assert len(train) > 100
    assert not [question for question in train if question.text == KEPT]
    contexts = {question.context for question in train}
    assert aside["news"]
    assert "Tim stayed." not in contexts
    assert [question.context for question in read_qamr(data, "wikinews")] == ["Tim stayed."]


def test_articles_of_new_wikipedia_are_in_one_split_only(data: Path) -> None:
    found = {
        split: {q.article for q in read_shifted(data, "new_wiki", split)}
        for split in ("train", "dev", "test")
    }
    assert sum(map(len, found.values())) == len(set.union(*found.values())) == 40
    assert len(found["test"]) > 0


def test_the_answer_that_most_annotators_gave_is_trained_on(tmp_path: Path) -> None:
    context = "It was in the old town of Ulm, in 1812."
    rows = [paragraph(context, ("Where?", ["the old town of Ulm", "Ulm", "Ulm", "old town"]))]
    squad(tmp_path / "squadshifts" / "new_wiki.json.gz", {f"A{n}": rows for n in range(9)})
    question = read_shifted(tmp_path, "new_wiki", "train")[0]
    assert question.answers[0] == "Ulm"
    assert context[question.start :].startswith("Ulm")


def test_a_passage_from_elsewhere_does_not_hold_the_answer(data: Path) -> None:
    questions = read_shifted(data, "new_wiki", "train")
    made = elsewhere(questions, 1.0, seed=1)
    assert made
    by_text = {(q.article, q.text): q for q in questions}
    for question in made:
        original = by_text[question.article, question.text]
        assert question.context != original.context
        assert not any(answer in question.context for answer in original.answers)
        assert (question.answers, question.start) == ((), -1)


def test_an_altered_question_asks_for_something_that_is_not_said() -> None:
    context = "Ada Lee founded Ulm in 1812. Tim Ray burnt Bonn in 1870."
    question = Question(text="Who founded Ulm in 1812?", context=context, answers=("Ada Lee",), start=0)
    texts = {made.text for seed in range(40) for made in altered([question], 1.0, seed=seed)}
    assert len(texts) > 2
    assert question.text not in texts
    assert all("Ada Lee" not in text for text in texts)
    turned = Question(text="When was it first seen?", context="none", answers=("x",), start=0)
    found = {made.text for seed in range(20) for made in altered([turned], 1.0, seed=seed)}
    assert found == {"When was it last seen?", "When wasn't it first seen?"}


def test_a_window_marks_the_answer_or_says_that_it_is_not_here() -> None:
    tokenizer = AutoTokenizer.from_pretrained(Path(find_source("bundled:qa", None).location))
    context = "word " * 500 + "The bridge was built by Ada."
    question = Question(text="Who built it?", context=context, answers=("Ada",), start=context.index("Ada"))
    silent = Question(text="Why?", context="Nobody knows.", answers=(), start=-1)
    rows, spans = training_windows(tokenizer, [question, silent])
    assert spans[0] == spans[-1] == (0, 0)
    first, last = spans[-2]
    assert tokenizer.decode(rows[-2][first : last + 1]).strip().lower() == "ada"
    assert all(len(row) <= 384 for row in rows)


def test_the_temperature_makes_sure_answers_as_sure_as_they_are_right() -> None:
    draw = np.random.default_rng(1)
    answers, questions = [], []
    for number in range(400):
        starts = np.array([2.0, 0.0, 0.0], np.float32)  # softmax at temperature t says how sure it is
        answers.append(Answer(text="yes", score=4.0, null=0.0, starts=starts, ends=starts))
        share = (np.exp(2.0) / (np.exp(2.0) + 2)) ** 2  # what it says at temperature 1
        truth = ("yes",) if draw.random() < share else ("no",)
        questions.append(Question(text=str(number), context="", answers=truth, start=0))
    assert temperature_of(answers, questions) == pytest.approx(1.0, abs=0.15)
