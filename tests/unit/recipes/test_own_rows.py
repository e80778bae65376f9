"""The recipe for a user's own labelled rows: what it reads, and what it keeps of the encoder's words."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from models.loading.source import find_source
from recipes.encoder import prune_embeddings, prune_tokenizer
from recipes.own_rows import read_csv

_TEXTS = ["the parcel was late", "the box was torn"]


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_labels_of_any_name_are_read_and_equal_texts_never_part(tmp_path: Path) -> None:
    lines = [
        f'"ticket {n % 50}, please",{("praise", "complaint", "question")[n % 50 % 3]}' for n in range(300)
    ]
    names, rows = read_csv(
        write(tmp_path / "t.csv", "\n".join(["body,topic", *lines])), text="body", label="topic"
    )
    assert names == ["complaint", "praise", "question"]
    assert sum(map(len, rows.values())) == 300
    distinct = [{row.text for row in part} for part in rows.values()]
    assert sum(map(len, distinct)) == len(set.union(*distinct)) == 50


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("text,label\nfine,a\n", "no column 'body'; it has text, label"),
        ("", "no column 'body'; it has "),
        ("body,topic\nfine,a\n,b\n", "line 3: the text is empty"),
        ("body,topic\nfine,\n", "line 2: the label is empty"),
        ("body,topic\nfine,a\ngood,a\n", "at least two labels and a few dozen rows; found 2 rows"),
    ],
)
def test_a_wrong_file_is_refused_by_line_or_column(tmp_path: Path, content: str, complaint: str) -> None:
    with pytest.raises(SystemExit, match=complaint):
        read_csv(write(tmp_path / "t.csv", content), text="body", label="topic")


def test_every_word_still_has_a_spelling_in_a_pruned_vocabulary(tmp_path: Path) -> None:
    folder = Path(find_source("bundled:sentiment", None).location)
    original = AutoTokenizer.from_pretrained(folder)
    pruned, old_ids = prune_tokenizer(folder, _TEXTS, size=3000, out=tmp_path)
    assert len(pruned) == len(old_ids) < len(original)
    old_vocabulary = original.get_vocab()
    assert all(old_vocabulary[piece] == old_ids[new] for piece, new in pruned.get_vocab().items())
    assert pruned.tokenize("the parcel") == original.tokenize("the parcel")
    assert pruned.unk_token not in pruned.tokenize("xylophones zwieback 1789 äpfel?!")


def test_a_pruned_encoder_says_of_known_words_what_it_said_before(tmp_path: Path) -> None:
    folder = Path(find_source("bundled:sentiment", None).location)
    original = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    pruned, old_ids = prune_tokenizer(folder, _TEXTS, size=3000, out=tmp_path)
    with torch.inference_mode():
        before = model(**original(_TEXTS[0], return_tensors="pt")).logits
        prune_embeddings(model, old_ids)
        after = model(**pruned(_TEXTS[0], return_tensors="pt")).logits
    assert torch.equal(before, after)
    assert model.config.vocab_size == len(pruned)


def test_without_a_size_every_word_piece_is_kept(tmp_path: Path) -> None:
    folder = Path(find_source("bundled:sentiment", None).location)
    kept, old_ids = prune_tokenizer(folder, [], size=None, out=tmp_path)
    assert old_ids == list(range(len(kept)))
    assert kept.get_vocab() == AutoTokenizer.from_pretrained(folder).get_vocab()
