"""The parts that every trained model shares: rows on a device, soft targets, temperatures, pieces of weights."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForQuestionAnswering, AutoModelForSequenceClassification, AutoTokenizer

from models.loading.source import find_source
from recipes.batching import BucketedBatches
from recipes.classifier import (
    Course,
    Examples,
    calibration_error,
    divide_head,
    fit,
    logits_of,
    temperature_of,
)
from recipes.encoder import add_pieces, grow_embeddings, prune_embeddings, prune_tokenizer
from recipes.pieces import load_pieces, save_pieces
from recipes.qa_answers import answer
from recipes.qa_course import auc
from recipes.qa_fit import types_of
from recipes.questions import Question
from recipes.ragged import Ragged, load_arrays, load_rows, save_rows
from recipes.training import Schedule

CPU = torch.device("cpu")
TEXTS = [
    "A warm, funny film.",
    "Never again",
    "The soup was cold, the waiter was rude and the bill was wrong. " * 3,
]


def bundled(task: str) -> Path:
    return Path(find_source(f"bundled:{task}", None).location)


def test_rows_cut_on_a_device_are_what_the_tokenizer_pads(tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(bundled("sentiment"))
    ids = tokenizer(TEXTS)["input_ids"]
    save_rows(tmp_path / "r.npz.xz", {"a": ids, "b": ids[:1]})
    packed = load_arrays(tmp_path / "r.npz.xz")
    rows = Ragged.joined(load_rows(packed, "b", CPU), load_rows(packed, "a", CPU))
    wanted = tokenizer.pad({"input_ids": [ids[1], ids[2], ids[0]]}, return_tensors="pt")
    found, mask = rows.padded([2, 3, 0])
    assert torch.equal(found, wanted["input_ids"])
    assert torch.equal(mask, wanted["attention_mask"])


def test_types_of_question_and_context_are_the_tokenizers_own() -> None:
    tokenizer = AutoTokenizer.from_pretrained(bundled("qa"))
    wanted = tokenizer(
        ["Who?", "Why is that so?"], ["Ada did it in 1843.", "Nobody."], padding=True, return_tensors="pt"
    )
    found = types_of(wanted["input_ids"], wanted["attention_mask"], tokenizer.sep_token_id)
    assert torch.equal(found, wanted["token_type_ids"])


def test_logits_of_many_texts_are_those_of_each_alone() -> None:
    tokenizer = AutoTokenizer.from_pretrained(bundled("sentiment"))
    model = AutoModelForSequenceClassification.from_pretrained(
        bundled("sentiment"), dtype=torch.float32
    ).eval()
    found = logits_of(model, Ragged.of(tokenizer(TEXTS)["input_ids"], CPU))
    with torch.inference_mode():
        alone = torch.cat([model(**tokenizer(text, return_tensors="pt")).logits for text in TEXTS])
    torch.testing.assert_close(found, alone, rtol=1e-4, atol=1e-4)


def test_a_temperature_that_logits_were_multiplied_by_is_found() -> None:
    draw = torch.Generator().manual_seed(1)
    logits = torch.randn(6000, 2, generator=draw)
    labels = torch.multinomial(torch.softmax(logits, -1), 1, generator=draw)[:, 0]
    assert temperature_of([(2.5 * logits, labels)]) == pytest.approx(2.5, abs=0.25)
    layer = nn.Linear(2, 2)
    before = layer(logits[:3])
    divide_head(layer, 2.5)
    torch.testing.assert_close(layer(logits[:3]), before / 2.5)


def test_calibration_error_is_the_mean_gap_between_what_is_said_and_what_holds() -> None:
    said = torch.tensor([0.9, 0.9, 0.9, 0.9, 0.6, 0.6])
    right = torch.tensor([True, True, True, False, False, False])
    assert calibration_error(said, right) == pytest.approx((4 * 0.15 + 2 * 0.6) / 6)
    assert calibration_error(torch.tensor([1.0, 1.0]), torch.tensor([True, True])) == pytest.approx(0.0)


def test_a_text_with_a_target_in_the_middle_gets_a_score_in_the_middle() -> None:
    class Counter(nn.Module):  # of three tokens: the simplest classifier there is
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(4, 2)

        def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> object:
            logits = (self.table(input_ids) * attention_mask[..., None]).sum(1)
            return type("Output", (), {"logits": logits})

    torch.manual_seed(0)
    model = Counter()
    texts = Ragged.of([[1], [2], [3]] * 8, CPU)
    targets = torch.tensor([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]).repeat(8, 1)
    course = Course(seed=1, batch_tokens=64, learning_rate=0.1, epochs=1, least_steps=80)
    assert fit(model, Examples(texts=texts, targets=targets), course) == 80
    positive = torch.softmax(logits_of(model, texts), -1)[:3, 1]
    assert positive[0] < 0.1
    assert 0.45 < positive[1] < 0.55
    assert positive[2] > 0.9


def test_weights_in_pieces_are_read_back_and_no_piece_is_too_large(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 2))
    paths = save_pieces(model, tmp_path, "m", most_bytes=10_000)
    assert len(paths) == 2
    assert all(path.stat().st_size < 11_000 for path in paths)
    other = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 2))
    load_pieces(other, tmp_path, "m")
    for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(a.half().float(), b, rtol=0, atol=0)
    with pytest.raises(SystemExit, match="no n-"):
        load_pieces(other, tmp_path, "n")


def test_an_emoji_has_a_piece_that_begins_as_its_name_alone_and_inside_a_word(tmp_path: Path) -> None:
    folder = bundled("sentiment")
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32)
    tokenizer, old_ids = prune_tokenizer(folder, TEXTS, size=3000, out=tmp_path)
    prune_embeddings(model, old_ids)
    grown = add_pieces(tokenizer, ["🦤"], tmp_path)
    grow_embeddings(model, grown, {"🦤": "funny film"})
    assert grown.tokenize("film🦤 🦤") == ["film", "##🦤", "🦤"]
    table = model.base_model.embeddings.word_embeddings.weight
    wanted = table[torch.tensor(grown("funny film", add_special_tokens=False)["input_ids"])].mean(0)
    for piece in ("🦤", "##🦤"):
        torch.testing.assert_close(table[grown.get_vocab()[piece]], wanted)
    assert model.config.vocab_size == len(table) == len(grown)


def test_a_third_epoch_is_made_once_not_at_every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    batches = BucketedBatches([4] * 32, max_tokens=16, seed=1)
    made: list[int] = []
    original = BucketedBatches._make_epoch
    monkeypatch.setattr(batches, "_epoch", _counting(batches, original, made))
    for step in range(32):
        batches.at(step)
    assert made == [0, 1, 2, 3]


def _counting(batches: BucketedBatches, original: object, made: list[int]) -> object:
    cache: dict[int, list[list[int]]] = {}

    def epoch(number: int) -> list[list[int]]:
        if number not in cache:
            made.append(number)
            cache.clear()  # as large as the real one: the last epoch alone
            cache[number] = original(batches, number)  # type: ignore[operator]
        return cache[number]

    return epoch


def test_rates_follow_the_clock_where_it_is_ahead_of_the_steps() -> None:
    schedule = Schedule(steps=1000, learning_rate=1.0, warmup_steps=10, seconds=60)
    assert schedule.factor_at(20, 60.0) == pytest.approx(0.05)
    assert schedule.factor_at(20, 30.0) == pytest.approx(0.05 + 0.95 / 2)
    assert schedule.factor_at(20, 0.0) == Schedule(steps=1000, learning_rate=1.0, warmup_steps=10).factor_at(
        20
    )
    assert schedule.factor_at(4, 60.0) == pytest.approx(0.5)


def test_the_recipes_answer_and_its_probability_are_those_of_one_window_by_hand() -> None:
    folder = bundled("qa")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForQuestionAnswering.from_pretrained(folder, dtype=torch.float32).eval()
    question = Question(
        text="Who wrote it?", context="The report was written by Ada in 1843.", answers=(), start=-1
    )
    (found,) = answer(model, tokenizer, [question])
    encoded = tokenizer(question.text, question.context, return_offsets_mapping=True, return_tensors="pt")
    offsets = encoded.pop("offset_mapping")[0].tolist()
    with torch.inference_mode():
        scores = model(**encoded)
    places = [i for i, kind in enumerate(encoded.sequence_ids(0)) if kind == 1]
    spans = [
        (float(scores.start_logits[0, i] + scores.end_logits[0, j]), i, j)
        for i in places
        for j in places
        if j >= i
    ]
    best, first, last = max(spans)
    total = sum(
        math.log(sum(math.exp(float(side[0, i])) for i in [0, *places]))
        for side in (scores.start_logits, scores.end_logits)
    )
    assert found.text == question.context[offsets[first][0] : offsets[last][1]]
    assert found.probability() == pytest.approx(math.exp(best - total), rel=1e-3)
    assert found.silence == pytest.approx(
        float(scores.start_logits[0, 0] + scores.end_logits[0, 0]) - best, abs=1e-3
    )


def test_the_area_under_the_curve_is_the_share_of_pairs_in_order() -> None:
    assert auc([2.0, 3.0], [0.0, 1.0]) == 1.0
    assert auc([0.5, 3.0], [0.0, 1.0]) == pytest.approx(3 / 4)
