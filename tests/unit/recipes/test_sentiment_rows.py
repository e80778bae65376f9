"""What the sentiment model learns from: held-out texts stay out, and who is named decides nothing."""

from __future__ import annotations

import hashlib
import zipfile
from collections import defaultdict
from pathlib import Path

import pytest

from recipes import sentiment_rows
from recipes.emoji import BAD, GOOD, PLAIN, emoji_sentences
from recipes.heldout import is_kept, key_of
from recipes.people import GROUPS, NAMES, people_sentences, swapped
from recipes.rated import NEUTRAL, Rated
from recipes.reviews import film_sentences, long_reviews, product_sentences, windows

KEPT = "this one is kept for testing ."


def write_zip(folder: Path, corpus: str, files: dict[str, str]) -> None:
    with zipfile.ZipFile(folder / f"{corpus}.zip", "w") as archive:
        for name, content in files.items():
            archive.writestr(f"{corpus}/{name}", content)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Every set, small; a text of each kind is on the list of those that are kept."""
    comments = tmp_path / "goemotions" / "group"
    comments.mkdir(parents=True)
    for split in ("train", "dev", "test"):
        lines = [f"{KEPT}\t1\tx", f"a fine {split} day\t3\ty", f"it is {split}\t2\tz", "mixed\t1,3\tw"]
        (comments / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    folder = tmp_path / "nltk-sentiment"
    folder.mkdir()
    lines = "\n".join([KEPT, *(f"sentence number {n} of a film review" for n in range(60))])
    write_zip(folder, "sentence_polarity", {"rt-polarity.pos": lines, "rt-polarity.neg": lines + "\nbad ."})
    write_zip(folder, "pros_cons", {"IntegratedPros.txt": f"<Pros>{KEPT}</Pros>\n <Pros>light</Pros>", "IntegratedCons.txt": "<Cons>loud</Cons>"})  # fmt: skip
    product = f"[t] title\nlens[+2]##the lens is sharp .\nflash[-1], zoom[+1]##torn .\n##{KEPT}\n##i own it ."
    for part in (1, 2):
        write_zip(folder, f"product_reviews_{part}", {"README.txt": "x##y", "Camera.txt": product})
    reviews = {f"{side}/cv{n}_1.txt": f"{side} {n} a film of twelve words and {side} {n} more .\n{KEPT}" for side in ("pos", "neg") for n in ("000", "800")}  # fmt: skip
    write_zip(folder, "movie_reviews", reviews)
    write_zip(folder, "subjectivity", {"plot.tok.gt9.5000": f"he goes home .\n{KEPT}", "quote.tok.gt9.5000": f"a quote of a review , five .\n{KEPT}"})  # fmt: skip
    write_zip(folder, "opinion_lexicon", {"positive-words.txt": "; Hu and Liu\n\nneat", "negative-words.txt": ";\nvile"})  # fmt: skip
    (tmp_path / "heldout.sha256").write_text("\n".join([key_of(KEPT), key_of("neat")]))
    return tmp_path


def test_no_training_set_holds_a_text_that_is_kept_for_testing(data: Path) -> None:
    """Issue 20: exclusions by heldout.sha256, of whole texts, lines and sentences, in every source."""
    rows = [row.text for part in sentiment_rows.training_rows(data, seed=1).values() for row in part]
    dev = [row.text for part in sentiment_rows.calibration_rows(data).values() for row in part]
    assert len(rows) > 20_000
    assert dev
    assert not [text for text in [*rows, *dev] if "kept for testing" in text or text == "neat"]


def test_a_text_is_kept_by_its_letters_and_digits_alone() -> None:
    kept = frozenset({hashlib.sha256(b"its2good").hexdigest()[:20]})
    assert is_kept("its 2 good", kept)
    assert is_kept("I saw it. It's 2 good. Bye.", kept)
    assert is_kept("one line\nits 2 good\nanother", kept)
    assert not is_kept("its 3 good", kept)


def test_what_is_set_aside_is_a_whole_source_and_is_in_no_training_set(data: Path) -> None:
    trained = {row.text for part in sentiment_rows.training_rows(data, seed=1).values() for row in part}
    aside = sentiment_rows.test_rows(data)
    assert [row.positive for row in aside["products"]] == [1.0]  # mixed and unmarked ones have no one answer
    assert {row.text.split()[1] for row in aside["long_reviews"]} == {"800"}
    assert not trained & {row.text for row in [*aside["long_reviews"], *aside["own_reviews"]]}
    assert {row.text.split()[1] for row in long_reviews(data, "train")} == {"000"}


def test_marks_of_product_reviews_say_how_a_sentence_is_rated(data: Path) -> None:
    rows = product_sentences(data, 1)
    assert [(row.text, row.positive) for row in rows] == [
        ("the lens is sharp .", 1.0), (KEPT, NEUTRAL), ("i own it .", NEUTRAL),
    ]  # fmt: skip


def test_a_film_sentence_is_trained_on_or_calibrates_never_both(data: Path) -> None:
    train, dev = film_sentences(data, "train"), film_sentences(data, "dev")
    assert {row.text for row in train} & {row.text for row in dev} == set()
    assert len(train) + len(dev) == 123


def test_of_a_review_its_beginning_and_end_have_its_verdict_and_paragraphs_are_doubted() -> None:
    words = [f"w{n}" for n in range(800)]
    doubted: list[list[str]] = []
    certain: list[list[str]] = []
    for row in windows([Rated(" ".join(words), 1.0)]):
        (certain if row.positive == 1.0 else doubted).append(row.text.split())
    assert sorted(certain) == sorted([words[:300], words[-60:]])
    assert doubted == [words[0:120], words[360:480], words[720:800]]
    assert {row.positive for row in windows([Rated("short and bad", 0.0)])} == {0.0, 0.12}


def test_a_sentence_about_people_has_one_target_whoever_it_names() -> None:
    """Issue 20: 41 % of sentences that named a disabled person were NEGATIVE."""
    groups = sorted((word for words in GROUPS.values() for word in words), key=len, reverse=True)
    targets: dict[str, set[float]] = defaultdict(set)
    for row in people_sentences(6000, seed=1):
        frame = row.text.lower().rstrip(".!")
        for word in (*groups, *NAMES):
            frame = frame.replace(word.lower(), "_", 1) if f" {word.lower()}" in f" {frame}" else frame
        targets[frame.replace(" an _", " a _")].add(row.positive)
    assert len(targets) > 100
    assert {frame for frame, found in targets.items() if len(found) > 1} == set()


def test_a_swap_names_another_group_and_keeps_the_target() -> None:
    rows = [Rated("My Muslim friend is kind.", 1.0), Rated("nothing here", 0.0)]
    (copy,) = swapped(rows, seed=1)
    assert copy.positive == 1.0
    assert copy.text.split()[0] == "My"
    assert "muslim" not in copy.text.lower()


def test_emoji_alone_decide_their_sentences() -> None:
    for row in emoji_sentences(300, seed=1):
        found = {char for char in row.text if char in (*GOOD, *BAD, *PLAIN)}
        side = next(
            name for name, chars in (("good", GOOD), ("bad", BAD), ("plain", PLAIN)) if found & set(chars)
        )
        assert found <= set({"good": GOOD, "bad": BAD, "plain": PLAIN}[side])
        assert {"good": row.positive > 0.9, "bad": row.positive < 0.1, "plain": row.positive == 0.5}[side]
    assert not set(GOOD) & set(BAD)
