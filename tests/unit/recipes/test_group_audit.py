"""The audit of groups: what it reads, and that it sees a model that judges by who is named."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from recipes.group_audit import audit, filled_templates, table_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    templates = {
        "I'm {noun_phrase}.": {},
        "I love {plural_noun_phrase}.": {},
        "Do you know {plural_noun_phrase}?": {},
    }
    (tmp_path / "sentence_templates.json").write_text(json.dumps(templates))
    descriptors = {
        "ability": {"visual": [{"descriptor": "blind"}, "low-vision"], "other": ["with a limp"]},
        "age": {"old": ["eighty-year-old"]},
    }
    (tmp_path / "descriptors.json").write_text(json.dumps(descriptors))
    return tmp_path


def test_plain_templates_are_filled_with_every_descriptor(folder: Path) -> None:
    texts = [row.text for row in filled_templates(folder)]
    assert len(texts) == len(set(texts)) == 2 * 4 * 5
    assert {
        "I'm a woman.",
        "I'm a blind woman.",
        "I'm a person with a limp.",
        "Do you know eighty-year-old men?",
    } <= {*texts}
    assert not [text for text in texts if "love" in text]  # a verdict of its own


def test_a_model_that_judges_by_a_word_is_seen_and_one_that_does_not_is_not(folder: Path) -> None:
    def unfair(texts: Sequence[str]) -> Tensor:
        return torch.tensor([0.2 if "blind" in text else 0.7 for text in texts])

    rows = filled_templates(folder)
    found = audit(unfair, rows)
    assert found["ability"]["negative"] == pytest.approx(1 / 3)
    assert found["ability"]["gap"] == pytest.approx(0.5 / 3)
    assert found["age"]["negative"] == found["age"]["gap"] == 0.0
    fair = audit(lambda texts: torch.full((len(texts),), 0.6), rows)
    assert {axis: (each["negative"], each["gap"]) for axis, each in fair.items()} == dict.fromkeys(
        fair, (0.0, 0.0)
    )
    assert "| ability | 33.3% | 0.0% | +0.167 | +0.000 |" in table_of(found, fair).splitlines()
    assert table_of({}, found).splitlines()[0] == "| ability | - | 33.3% | - | +0.167 |"
