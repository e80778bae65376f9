"""How pieces are cut into batches."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from models.batching.plan import Batch, Piece, Plan, into_batches, padded_tokens

MAX_TOKENS = 8192


def cut(lengths: list[int], max_tokens: int = MAX_TOKENS) -> list[Batch]:
    pieces = [Piece(key=number, index=0, num_tokens=length) for number, length in enumerate(lengths)]
    return into_batches(pieces, max_tokens=max_tokens, batch_key=lambda _: None)


@given(st.lists(st.integers(1, 600), max_size=80), st.integers(1, 2000))
def test_every_piece_is_in_one_batch_and_none_exceeds_the_budget(lengths: list[int], budget: int) -> None:
    batches = cut(lengths, budget)
    assert sorted(piece.key for batch in batches for piece in batch) == list(range(len(lengths)))
    assert all(padded_tokens(batch) <= budget for batch in batches if len(batch) > 1)


def test_little_of_a_batch_is_padding_when_lengths_differ_widely() -> None:
    """What fitted the budget used to share a batch: of 32 texts of 5 to 400 tokens 70 % was padding."""
    draw = random.Random(0)
    lengths = [min(400, max(5, int(draw.lognormvariate(3.7, 0.9)))) for _ in range(500)]
    assert sum(padded_tokens(batch) for batch in cut(lengths)) < 1.15 * sum(lengths)


def test_short_pieces_of_any_length_share_a_batch_until_the_device_is_busy() -> None:
    assert len(cut(list(range(1, 30)))) == 1


def test_where_padding_costs_nothing_the_budget_alone_parts_pieces() -> None:
    """CTranslate2 drops what has ended; batches of like lengths were too small for it."""
    pieces = [Piece(key=length, index=0, num_tokens=length) for length in range(1, 65)]
    assert len(into_batches(pieces, max_tokens=64 * 64, batch_key=lambda _: None, alike=0.0)) == 1
    assert len(into_batches(pieces, max_tokens=64 * 64, batch_key=lambda _: None)) > 1


def test_of_two_batches_one_may_overtake_and_the_other_is_who_waits_longest() -> None:
    """A stream of documents that go ahead kept what was planned out for ever."""
    plan = Plan()
    batch = {name: [Piece(key=name, index=0, num_tokens=1)] for name in "abcd"}
    plan.add(6.0, [batch["a"], batch["b"]])
    order = []
    for name in "cd":
        plan.add(0.0, [batch[name]])
        order += [plan.pop(), plan.pop()]
    assert [found[0].key for _, found in order] == ["c", "a", "d", "b"]
