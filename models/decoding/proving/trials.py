"""Texts that a model is tried with, and when two answers count as the same."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from models.loading.registry import LoadedModel
from models.proving.reference import vocabulary_size

#: How far logits may be apart, as a share of their spread: rounding, not a wrong position.
_TOLERANCE = {"float32": 1e-3, "float16": 0.02, "bfloat16": 0.05}
#: In int8 a scale is of all rows together, and some answers are always far off: half of them must be near.
_INT8_TOLERANCE = 0.4
#: Lengths of prompts: every one but the first is padded among the others. The second row is for models
#: that take hardly any tokens.
_LENGTHS = ((13, 8, 5, 4), (4, 3, 2))
_NUM_FOLLOWING = 3
#: From so many on, every token counts: two texts fewer, or the trials of 124 M take longer than 3 s.
_MANY_PARAMETERS, _NUM_TEXTS_OF_LARGE = 20_000_000, 2


@dataclass(frozen=True)
class Trial:
    """Prompts that are computed together, and the tokens that follow each."""

    prompts: list[list[int]]
    following: list[list[int]]

    @property
    def num_tokens(self) -> int:
        """All of them."""
        return sum(map(len, [*self.prompts, *self.following]))

    def first_step(self) -> Trial:
        """The first row and one token after it."""
        return Trial(self.prompts[:1], [self.following[0][:1]])

    def of_equal_length(self) -> Trial:
        """As many different prompts, all as long as the second and taken from the first and its own."""
        length = len(self.prompts[1])
        return Trial([self.prompts[0][:length], self.prompts[1]], self.following[:2])


def short_trials(loaded: LoadedModel) -> list[Trial]:
    """Texts of a few tokens; the first is to be preferred."""
    return [_trial(loaded, lengths, _NUM_FOLLOWING) for lengths in _LENGTHS]


def crossing_trial(loaded: LoadedModel, length: int) -> Trial:
    """Texts twice as long as `length`, reaching it while they go on, a little longer, and below."""
    # The decoder of an encoder-decoder begins with one token, so it must go on for longer.
    num_following = length + 3 if loaded.config.is_encoder_decoder else 4
    lengths = (2 * length + 3, max(2, length - 2), length + 2, max(1, length // 2))
    return _trial(loaded, lengths, num_following)


def is_same(ours: Sequence[Tensor], theirs: Sequence[Tensor], dtype: str) -> bool:
    """Whether logits, one tensor (steps, vocabulary) a row, differ by rounding only."""
    if [one.shape for one in ours] != [other.shape for other in theirs]:
        return False
    distances = torch.cat([_distances(one, other) for one, other in zip(ours, theirs, strict=True)])
    if dtype == "int8":
        return bool(distances.median() <= _INT8_TOLERANCE)
    return bool((distances <= _TOLERANCE[dtype]).all())


def _distances(one: Tensor, other: Tensor) -> Tensor:
    """Of each step, as a share of the spread; NaN where either is not finite."""
    one, other = one.float().cpu(), other.float().cpu()
    spread = (other - other.mean(dim=-1, keepdim=True)).norm(dim=-1)
    distances: Tensor = (one - other).norm(dim=-1) / spread.clamp(min=1e-30)
    return distances


def _trial(loaded: LoadedModel, lengths: Sequence[int], num_following: int) -> Trial:
    if loaded.num_parameters >= _MANY_PARAMETERS:
        lengths = lengths[:_NUM_TEXTS_OF_LARGE]
    tokens = _ordinary_tokens(loaded)
    draw = random.Random(0)
    return Trial(
        [draw.choices(tokens, k=length) for length in lengths],
        [draw.choices(tokens, k=num_following) for _ in lengths],
    )


def _ordinary_tokens(loaded: LoadedModel) -> list[int]:
    """All that mean nothing special; models look for padding and the like by its number."""
    config: Any = loaded.config
    special = set(loaded.tokenizer.all_special_ids)
    named = (value for name, value in vars(config).items() if name.endswith(("token_id", "token_index")))
    special |= {value for value in named if isinstance(value, int)}
    size = min(vocabulary_size(loaded), len(loaded.tokenizer))
    return [token for token in range(size) if token not in special] or list(range(size))
