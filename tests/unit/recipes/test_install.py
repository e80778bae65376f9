"""A trained model folder takes a bundled one's place, with a card made from measured figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from recipes import bundled_card
from recipes.bundled_card import keep_as_previous, write_bundled_card
from recipes.install import install

FIGURES = {
    "sentiment": {
        "steps": 2400, "temperature": 0.9, "neutral_in_the_middle": 0.61,
        **{f"{name}_{kind}": 0.87
           for name in ("comments", "dev_films", "long_reviews", "products", "own_reviews")
           for kind in ("accuracy", "calibration_error")},
        "audit": {"ability": {"negative": 0.12, "gap": 0.034}},
    },
    "qa": {
        "steps": 4100, "temperature": 0.7, "no_answer_auc": 0.801,
        **{f"{name}_{kind}": 66.5
           for name in ("squad", "tales", "new_wiki", "reddit", "news")
           for kind in ("f1", "exact", "calibration_error")},
    },
}  # fmt: skip


@pytest.fixture
def previous(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    path = tmp_path / "previous.json"
    path.write_text('{"sentiment": {}, "qa": {}}')
    monkeypatch.setattr(bundled_card, "_PREVIOUS", path)
    return path


@pytest.mark.parametrize("task", ["sentiment", "qa"])
def test_a_card_shows_the_figures_beside_those_of_the_weights_before(
    task: str, previous: Path, tmp_path: Path
) -> None:
    before = {"audit": {"ability": {"negative": 0.41, "gap": 0.08}}} if task == "sentiment" else {}
    keep_as_previous(task, {**before, "products_accuracy": 0.808, "squad_f1": 65.46, "no_answer_auc": 0.6725})
    write_bundled_card(tmp_path, task, FIGURES[task])
    card = (tmp_path / "README.md").read_text()
    wanted = {
        "sentiment": ("| 0.808 | 0.87 | - | 0.87 |", "| ability | 41.0% | 12.0% | +0.080 | +0.034 |"),
        "qa": ("| 65.46 | 66.5 | - | 66.5 | - | 66.5 |", "ROC curve 0.801 (before: 0.6725)"),
    }
    assert all(part in card for part in wanted[task])
    assert "{" not in card


def test_a_figure_that_was_not_measured_makes_no_card(previous: Path, tmp_path: Path) -> None:
    known = {name: value for name, value in FIGURES["qa"].items() if name != "reddit_f1"}
    with pytest.raises(KeyError, match="reddit_f1"):
        write_bundled_card(tmp_path, "qa", known)


def test_a_model_is_installed_whole_with_its_card_and_nothing_beside_it(
    previous: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "trained", tmp_path / "bundled"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors", "notes.txt"):
        (folder / name).write_text(name)
    with pytest.raises(SystemExit, match=r"has no metrics\.json.*recipes\.measure"):
        install("qa", folder, out)
    assert not out.exists()
    (folder / "metrics.json").write_text(json.dumps(FIGURES["qa"]))
    install("qa", folder, out)
    assert {path.name for path in out.iterdir()} == {
        "config.json", "tokenizer.json", "tokenizer_config.json", "model.safetensors", "metrics.json", "README.md",
    }  # fmt: skip
    assert (out / "model.safetensors").read_text() == "model.safetensors"
