"""How the translation model's training goes: its rates, its end, and going on where it was stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
import torch
from transformers import MarianConfig, MarianMTModel

from recipes.translation.architecture import drawn
from recipes.translation.batches import Batch, Position, batches_of_all
from recipes.translation.editions import Edition, Side
from recipes.translation.fit import CHECKPOINT, END_SOON, fit
from recipes.translation.losses import Loss
from recipes.translation.plan import Plan
from recipes.translation.state import State, saved_position

_PAD, _END = 31, 0


def test_the_rate_rises_stays_and_falls_to_nothing() -> None:
    plan = Plan(steps=1000, warmup_steps=100)
    decay_from = next(step for step in count() if plan.decay_begins(step, asked=False))
    assert decay_from == 800
    factors = [plan.factor_at(step, None if step < 800 else decay_from) for step in range(1001)]
    assert factors[:100] == sorted(factors[:100])
    assert set(factors[99:801]) == {1.0}
    assert factors[850] == pytest.approx(0.5)  # a quarter of the decay is done: 1 - 0.5
    assert factors[1000] == 0
    assert [plan.is_over(step, decay_from) for step in (799, 999, 1000)] == [False, False, True]


def test_a_decay_that_is_asked_for_takes_a_fifth_of_all_steps() -> None:
    plan = Plan(steps=1000)
    assert plan.decay_begins(400, asked=True)
    assert not plan.is_over(499, 400)
    assert plan.is_over(500, 400)
    assert Plan(decay_steps=7).is_over(407, 400)


def edition_of(number: int) -> Edition:
    """Sentences of some numbers; the translation says each number plus ten."""
    generator = torch.Generator().manual_seed(number)
    rows = [torch.randint(1, 16, (2 + n % 4,), generator=generator).tolist() for n in range(40)]
    return Side.of([[*row, _END] for row in rows]), Side.of(
        [[*(token + 10 for token in row), _END] for row in rows]
    )


def batches_from(position: Position) -> Iterator[Batch]:
    """Of these editions."""
    made = map(edition_of, count(position.edition))
    return batches_of_all(made, position, max_tokens=60, seed=1, pad=_PAD, device=torch.device("cpu"))


def model(dropout: float = 0.1) -> MarianMTModel:
    """A small one, always the same."""
    torch.manual_seed(1)
    config = MarianConfig(
        vocab_size=32, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=16,
        pad_token_id=_PAD, eos_token_id=_END, decoder_start_token_id=_PAD, dropout=dropout, scale_embedding=True,
        share_encoder_decoder_embeddings=True, tie_word_embeddings=True,
    )  # fmt: skip
    return drawn(config)


def weights_of(state: State) -> torch.Tensor:
    """All as one row, with those that are averaged."""
    both = (*state.model.parameters(), *state.averaged.parameters())
    return torch.cat([p.detach().flatten() for p in both])


def test_batches_go_on_from_any_position() -> None:
    stream = batches_from(Position())
    seen = [next(stream) for _ in range(40)]
    assert seen[-1].next.edition >= 1
    for at in (0, 3, len(seen) - 2):
        again = next(batches_from(seen[at].next))
        assert torch.equal(again.sources, seen[at + 1].sources)
        assert again.next == seen[at + 1].next


def test_a_training_that_was_stopped_ends_with_the_weights_of_one_that_was_not(tmp_path: Path) -> None:
    plan = Plan(steps=12, warmup_steps=3, averaged_steps=4)
    whole, part = tmp_path / "whole", tmp_path / "part"
    whole.mkdir()
    part.mkdir()
    looks: list[int] = []
    fit(
        one := State(model(), plan), batches_from, plan, whole, examine=lambda state: looks.append(state.step)
    )
    assert looks == [12]
    stopped = State(model(), plan)
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, stopped_after(11), plan, part, examine=lambda _: None)
    stopped.save(part / CHECKPOINT)
    assert saved_position(part / CHECKPOINT) == stopped.position != Position()
    fit(two := State(model(), plan), batches_from, plan, part, examine=lambda _: None)
    assert stopped.step < two.step == 12
    assert torch.equal(weights_of(one), weights_of(two))


def stopped_after(batches: int) -> Callable[[Position], Iterator[Batch]]:
    """Batches from a position on, until somebody stops them."""

    def made(position: Position) -> Iterator[Batch]:
        stream = batches_from(position)
        for _ in range(batches - 1):
            yield next(stream)
        raise KeyboardInterrupt

    return made


def test_a_file_makes_a_training_come_to_its_end(tmp_path: Path) -> None:
    plan = Plan(steps=10**6, warmup_steps=3, decay_steps=4)
    (tmp_path / END_SOON).touch()
    fit(state := State(model(), plan), batches_from, plan, tmp_path, examine=lambda _: None)
    assert (state.step, state.decay_from) == (4, 0)


def test_the_loss_is_transformers_own() -> None:
    trained = model(dropout=0.0)
    batch = next(batches_from(Position()))
    labels = batch.targets.masked_fill(batch.targets == _PAD, -100)
    with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
        wanted = trained(
            input_ids=batch.sources, attention_mask=(batch.sources != _PAD).long(), labels=labels
        ).loss
        found = Loss(trained)(batch.sources, batch.targets, smoothing=0.0)
    torch.testing.assert_close(found, wanted.float(), rtol=1e-2, atol=1e-2)


def test_a_small_model_learns_to_translate_numbers(tmp_path: Path) -> None:
    plan = Plan(steps=250, warmup_steps=20, averaged_steps=10, learning_rate=1e-2, matrix_learning_rate=1e-2)
    fit(state := State(model(dropout=0.0), plan), batches_from, plan, tmp_path, examine=lambda _: None)
    batch = next(batches_from(Position(edition=10**6)))
    with torch.inference_mode():
        assert Loss(state.averaged)(batch.sources, batch.targets, smoothing=0.0) < 0.5
        assert Loss(state.averaged)(batch.sources.roll(1, 0), batch.targets, smoothing=0.0) > 2
