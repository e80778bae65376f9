"""How the bundled models were made: splits, pruning, resuming, and the scores on their cards."""

from __future__ import annotations

import math
import random
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from recipes.batching import BucketedBatches
from recipes.ngram import KneserNey, words_of
from recipes.splits import split_of
from recipes.squad_score import exact, f1
from recipes.training import Batch, Schedule, train


def test_a_split_depends_on_the_key_alone_and_has_its_share() -> None:
    keys = [f"sentence {n}" for n in range(5000)]
    splits = {key: split_of(key, dev_share=0.1, test_share=0.2) for key in keys}
    shuffled = random.Random(1).sample(keys, len(keys))
    assert all(split_of(key, dev_share=0.1, test_share=0.2) == splits[key] for key in shuffled)
    shares = Counter(splits.values())
    assert shares["test"] / 5000 == pytest.approx(0.2, abs=0.02)
    assert shares["dev"] / 5000 == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize(
    ("answer", "references", "expected_f1", "expected_exact"),
    [
        ("the Norman Conquest", ["Norman conquest"], 1.0, 1.0),
        ("in 1066", ["1066"], 2 / 3, 0.0),
        ("Paris", ["London", "paris."], 1.0, 1.0),
        ("Paris", ["London"], 0.0, 0.0),
        ("", [], 1.0, 1.0),
        ("something", [], 0.0, 0.0),
    ],
)
def test_answers_are_scored_as_squad_scores_them(
    answer: str, references: list[str], expected_f1: float, expected_exact: float
) -> None:
    assert f1(answer, references) == pytest.approx(expected_f1)
    assert exact(answer, references) == expected_exact


def test_the_probabilities_of_the_word_model_add_up_to_one() -> None:
    words = words_of("the cat sat on the mat . the dog sat on the cat . the mat sat .") * 2
    model = KneserNey(words, order=3)
    for context in ((), ("the",), ("sat", "on"), ("never", "seen")):
        symbols = [*model.vocabulary, "<unknown>"]
        total = sum(model._probability(symbol, context) for symbol in symbols)
        assert total == pytest.approx(1.0)


def test_a_bigram_estimate_agrees_with_the_formula_worked_by_hand() -> None:
    # "a b a b a c", twice over, order 2, discount 0.75. After "a": b 4 times, c 2 times.
    model = KneserNey(["a", "b", "a", "b", "a", "c"] * 2, order=2, minimum_count=1)
    # Lower order: distinct left contexts. b: {a}, c: {a}, a: {b, c}; four in all; three words and <unknown>.
    lower_b = (1 - 0.75) / 4 + 0.75 * 3 / 4 * (1 / 4)
    expected = (4 - 0.75) / 6 + 0.75 * 2 / 6 * lower_b
    assert math.exp(model.log_probability(["a", "b"]) - model.log_probability(["a"])) == pytest.approx(
        expected
    )


def test_every_row_is_in_one_batch_of_an_epoch_and_batches_keep_their_budget() -> None:
    lengths = [random.Random(n).randint(1, 60) for n in range(500)]
    batches = BucketedBatches(lengths, max_tokens=256, seed=1)
    epoch = [batches.at(step) for step in range(batches.steps_per_epoch)]
    assert sorted(row for batch in epoch for row in batch) == list(range(500))
    assert all(max(lengths[row] for row in batch) * len(batch) <= 256 for batch in epoch)
    again = BucketedBatches(lengths, max_tokens=256, seed=1)
    assert again.at(7) == batches.at(7)  # a function of the step: a resumed run sees the same


def test_a_training_that_was_interrupted_ends_with_the_same_weights(tmp_path: Path) -> None:
    def trained(*, stop_at: int | None, checkpoint: Path | None) -> nn.Module:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.Linear(8, 1))
        schedule = Schedule(steps=20, learning_rate=1e-2, warmup_steps=5, seed=3, checkpoint_seconds=0)

        def batch_at(step: int) -> Batch:
            if step == stop_at:
                raise KeyboardInterrupt
            draw = torch.Generator().manual_seed(step)
            return {"x": torch.randn(16, 4, generator=draw)}

        def loss_of(network: nn.Module, batch: Batch) -> Tensor:
            return ((network(batch["x"]) - batch["x"].sum(1, keepdim=True)) ** 2).mean()

        train(model, batch_at, loss_of, schedule, checkpoint=checkpoint)
        return model

    whole = trained(stop_at=None, checkpoint=None)
    with pytest.raises(KeyboardInterrupt):
        trained(stop_at=11, checkpoint=tmp_path / "c.pt")
    resumed = trained(stop_at=None, checkpoint=tmp_path / "c.pt")
    for first, second in zip(whole.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(first, second, rtol=0, atol=0)
