"""How the translation model is trained: what is set aside, what is made of the pairs, and what is measured."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from transformers import MarianMTModel, MarianTokenizer

from recipes.heldout import key_of
from recipes.splits import split_of
from recipes.tatoeba import read_pairs
from recipes.translation import slots
from recipes.translation.architecture import config_for, untrained
from recipes.translation.augmentation import augmented, exchanged, joined, varied, without_contractions
from recipes.translation.batches import batches
from recipes.translation.corpora import digits_of, sets_aside, training_pairs
from recipes.translation.editions import EditionMaker, Side, editions
from recipes.translation.evaluation import is_runaway, scores
from recipes.translation.tokenizer import make_tokenizer

_DATA = Path(os.environ.get("DATA", "../shared/data"))  # as in the Makefile


def corpus(folder: Path, pairs: Sequence[tuple[str, str]], *, heldout: Sequence[str] = ()) -> Path:
    """A data folder with these pairs as Tatoeba's; news and commands are numbered sentences."""
    for name in ("tatoeba-en-de", "ntrex", "tldr"):
        (folder / name).mkdir()
    with zipfile.ZipFile(folder / "tatoeba-en-de" / "deu-eng.zip", "w") as archive:
        archive.writestr("deu.txt", "".join(f"{english}\t{german}\n" for english, german in pairs))
    for name, word in (("ntrex", "News"), ("tldr", "Command")):
        lines = (f"{word} item {n} is here.\t{word} Nummer {n} ist hier.\n" for n in range(1400))
        (folder / name / "en-de.tsv").write_text("".join(lines), encoding="utf-8")
    (folder / "heldout.sha256").write_text("\n".join(map(key_of, heldout)), encoding="utf-8")
    return folder


def english_of(split: str, number: int) -> str:
    """The n-th made-up sentence that falls into a split by itself."""
    found = (f"sentence {n}" for n in range(100_000))
    wanted = (text for text in found if split_of(text, dev_share=0.005, test_share=0.02) == split)
    return next(text for n, text in enumerate(wanted) if n == number)


def test_sentences_that_share_a_translation_are_not_parted(tmp_path: Path) -> None:
    alone, first, second = (english_of("test", n) for n in range(3))
    trained = english_of("train", 0)
    pairs = [
        (alone, "Allein."),
        (first, "Gleich."),
        (second, "gleich!"),
        (second, "Auch."),
        (trained, "Auch."),
    ]
    data = corpus(tmp_path, pairs)
    assert read_pairs(data, "test") == [(alone, "Allein.")]
    assert read_pairs(data, "train") == pairs[1:]


def test_nothing_that_is_kept_for_testing_is_trained_on(tmp_path: Path) -> None:
    texts = [english_of("train", n) for n in range(3)]
    pairs = [(text, text.replace("sentence", "Satz")) for text in texts]
    data = corpus(
        tmp_path, [*pairs, ("news ITEM 1350 is here", "Nochmals 1350.")], heldout=[pairs[1][1].upper()]
    )
    found = training_pairs(data)
    assert set(pairs) & set(found) == {pairs[0], pairs[2]}
    aside = sets_aside(data, ("tatoeba", "ntrex", "tldr"))
    assert len(aside["ntrex"]) == 1400 - 1293
    assert not {english for english, _ in found} & {text for each in aside.values() for text in each}
    assert not [pair for pair in found if "1350" in pair[0]], "a near copy of what is set aside"


@pytest.mark.slow
@pytest.mark.skipif(not _DATA.is_dir(), reason="the data are not here")
def test_no_training_pair_is_named_by_the_list_of_texts_for_testing() -> None:
    heldout = set((_DATA / "heldout.sha256").read_text(encoding="utf-8").split())
    for pair in training_pairs(_DATA):
        for text in pair:
            letters = "".join(c for c in text.lower() if c in "abcdefghijklmnopqrstuvwxyz0123456789äöüß")
            assert hashlib.sha256(letters.encode()).hexdigest()[:20] not in heldout


def test_pairs_with_other_numbers_on_the_other_side_are_left_out(tmp_path: Path) -> None:
    kept = (english_of("train", 0), f"Satz {english_of('train', 0).split()[1]}")
    lost = (english_of("train", 1), "Satz zwei.")
    found = training_pairs(corpus(tmp_path, [kept, lost]))
    assert kept in found
    assert lost not in found


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("1,000 of 2.5", {"1000": 1, "25": 1}),
        ("1.000 von 2,5", {"1000": 1, "25": 1}),
        ("at 14:30, 14 people", {"14": 2, "30": 1}),
        ("none", {}),
    ],
)
def test_a_number_is_the_same_however_a_language_writes_it(text: str, numbers: dict[str, int]) -> None:
    assert digits_of(text) == numbers


def test_every_phrase_has_the_same_slots_on_both_sides_and_the_same_numbers_in_them() -> None:
    random = Random(1)
    for phrase in slots.phrases():
        english, german = slots.filled(phrase, random)
        assert "{" not in english + german
        assert digits_of(english) == digits_of(german), (english, german)


def test_names_and_numbers_are_exchanged_on_both_sides_alike() -> None:
    random = Random(1)
    for _ in range(200):
        english, german = exchanged(("Tom's 30 cats met Tom.", "Toms 30 Katzen trafen Tom."), random)
        name, number = english.split("'s ")[0], english.split()[1]
        assert english == f"{name}'s {number} cats met {name}."
        assert german == f"{name}s {number} Katzen trafen {name}."
    assert exchanged(("at 2:30", "um 2:30"), random) == ("at 2:30", "um 2:30")


def test_what_is_made_of_pairs_keeps_their_numbers() -> None:
    pairs = [
        ("It has 12 rooms.", "Es hat 12 Zimmer."),
        ("I'm here.", "Ich bin hier."),
        ("Is it?", "Ist es so?"),
    ]
    random = Random(2)
    made = list(augmented(pairs * 200, random))
    made += [joined(pairs, random) for _ in range(200)]
    made += [varied(pair, random) for pair in pairs * 200]
    assert len({english for english, _ in made}) > 200
    for english, german in made:
        assert digits_of(english) == digits_of(german), (english, german)


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ("I'm sure you can't.", "I am sure you cannot."),
        ("Don't go.", "Do not go."),
        ("He's been away.", "He's been away."),
        ("Tom's cat.", "Tom's cat."),
    ],
)
def test_contractions_are_written_out_where_they_mean_one_thing(short: str, long: str) -> None:
    assert without_contractions(short) == long


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small tokenizer."""
    folder = tmp_path_factory.mktemp("tokenizer")
    random = Random(1)
    phrases = [slots.filled(phrase, random) for phrase in slots.phrases() for _ in range(10)]
    make_tokenizer([text for pair in phrases for text in pair], 600, folder)
    return folder


def test_every_digit_is_a_token_and_any_character_comes_back(tokenizer: Path) -> None:
    loaded = MarianTokenizer.from_pretrained(tokenizer)
    ids = loaded("Room 4711 is 🍏 and ħ…")["input_ids"]
    assert {"4", "7", "1"} <= set(loaded.convert_ids_to_tokens(ids))
    assert loaded.unk_token_id not in ids
    assert loaded.decode(ids, skip_special_tokens=True) == "Room 4711 is 🍏 and ħ…"


def test_an_edition_depends_on_seed_and_number_alone_and_reads_as_its_pairs(tokenizer: Path) -> None:
    pairs = [(f"Room {n} is free.", f"Zimmer {n} ist frei.") for n in range(100, 164)]
    made = editions(pairs, tokenizer, seed=1, processes=2)
    first, second = next(made), next(made)
    made.close()
    maker = EditionMaker(pairs, tokenizer, 1)
    again = [maker.chunk(0, number) for number in range(16)]
    for side in (0, 1):
        assert np.array_equal(first[side].tokens, Side.joined([chunk[side] for chunk in again]).tokens)
        assert not np.array_equal(first[side].tokens, second[side].tokens)
    loaded = MarianTokenizer.from_pretrained(tokenizer)
    texts = [loaded.decode(row, skip_special_tokens=True) for row in rows_of(first[0])]
    assert [text for text in texts if text.startswith("Room ") and text.endswith(" is free.")]
    assert all(row[-1] == loaded.eos_token_id for row in rows_of(first[0]))


def test_an_untrained_decoder_reads_the_source(tokenizer: Path) -> None:
    """Drawn as transformers draws them, the weights let nothing of it through, and German alone was learnt."""
    loaded = MarianTokenizer.from_pretrained(tokenizer)
    torch.manual_seed(1)
    drawn = untrained(loaded)
    torch.manual_seed(1)
    assert share_of_source(drawn, loaded) > 10 * share_of_source(MarianMTModel(config_for(loaded)), loaded)
    assert drawn.lm_head.weight is drawn.model.shared.weight


@torch.inference_mode()
def share_of_source(model: MarianMTModel, tokenizer: MarianTokenizer) -> float:
    """How much of the spread of the scores another source of equal length makes."""
    model.train(mode=False)
    ids = tokenizer("Room 4711 is on floor 3.", return_tensors="pt")["input_ids"]
    start = torch.full((1, 4), tokenizer.pad_token_id)
    one, other = (model(input_ids=source, decoder_input_ids=start).logits for source in (ids, ids.flip(1)))
    return float((one - other).std() / one.std())


def rows_of(side: Side) -> list[list[int]]:
    """The sentences of a side."""
    return [row.tolist() for row in np.split(side.tokens, np.cumsum(side.lengths)[:-1])]


def test_batches_hold_each_row_once_with_its_own_translation() -> None:
    rows = [[n + 1] * (1 + n % 7) for n in range(50)]
    edition = (Side.of(rows), Side.of([[1000 + row[0]] * len(row) for row in rows]))
    seen = []
    for sources, targets in batches(
        edition, number=0, max_tokens=64, seed=1, pad=0, device=torch.device("cpu")
    ):
        assert sources.numel() <= 64
        for source, target in zip(sources.tolist(), targets.tolist(), strict=True):
            seen.append([token for token in source if token])
            assert [token for token in target if token] == [1000 + token for token in seen[-1]]
    assert sorted(seen) == sorted(rows)


@pytest.mark.parametrize(
    ("source", "output", "expected"),
    [
        ("The cat is here.", "Die Katze ist hier.", False),
        ("The cat is here.", "Die Katze ist da und die Katze ist da.", True),
        ("No.", "Nein nein, das ist doch nicht das, was du wolltest.", True),
        ("A bit of it and a bit of it.", "Ein bisschen davon und ein bisschen davon.", False),
    ],
)
def test_a_runaway_repeats_what_its_source_does_not(source: str, output: str, expected: bool) -> None:
    assert is_runaway(source, output) is expected


def test_scores_count_the_numbers_that_are_kept_and_are_100_for_a_reference() -> None:
    wanted = {
        "It costs 1,000 dollars.": ["Es kostet 1.000 Dollar."],
        "I am here now.": ["Ich bin jetzt hier.", "Hier bin ich."],
    }
    found = scores(["Es kostet 1.000 Dollar.", "Ich bin jetzt hier."], wanted)
    assert found["bleu"] == pytest.approx(100)
    assert (found["with_numbers"], found["numbers_kept"], found["runaways"]) == (1, 100, 0)
    assert scores(["Es kostet 100 Dollar.", "Ich bin jetzt hier."], wanted)["numbers_kept"] == 0
