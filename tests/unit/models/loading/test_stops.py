"""Stop strings end a sequence where transformers' own criteria end it, and cost what the last tokens cost."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import StopStringCriteria

from models.errors import InvalidParameter
from models.loading.stops import StopAtStrings, StopStrings, TokenBytes
from tests.support.tiny_encoders import TOKENIZERS
from tests.support.tiny_models import SENTENCES
from tests.zoo.slow_tokenizers import SLOW
from tests.zoo.tokenizers import KINDS
from tests.zoo.tokenizers import tokenizer as made_tokenizer

_NUM_SEQUENCES, _LENGTH = 120, 14


def _some_strings(tokenizer: Any, draw: random.Random) -> list[str]:
    """Pieces of what the tokens say, within one token or over several, and some that are never met."""
    texts = [tokenizer.decode(draw.choices(range(len(tokenizer)), k=5)) for _ in range(20)]
    pieces = []
    for text in [*texts, *SENTENCES[:4], "\n\n", " the", "é", "😀"]:
        start = draw.randrange(max(1, len(text)))
        pieces.append(text[start : start + draw.randint(1, 6)])
    return [piece for piece in pieces if piece] + ["a", "e"]


@pytest.mark.parametrize(
    "kind", sorted({*KINDS, *SLOW} - {kind for kind in {*KINDS, *SLOW} if "canine" in kind})
)
def test_a_sequence_ends_where_transformers_ends_it(kind: str, tmp_path: Path) -> None:
    """S12: the same answers as of the table over the vocabulary, for every kind of tokenizer."""
    tokenizer, draw = made_tokenizer(kind, tmp_path), random.Random(0)
    tokens = TokenBytes(tokenizer)
    num_met, is_refused = 0, False
    for _ in range(4):
        strings = draw.sample(_some_strings(tokenizer, draw), 4)
        try:
            theirs = StopStringCriteria(tokenizer, strings)
        except ValueError as error:  # no token ends in any of them, or it cannot write tokens as text
            is_refused |= "substring not found" in str(error)
            continue
        ids = torch.tensor(
            [draw.choices(range(len(tokenizer) + 2), k=_LENGTH) for _ in range(_NUM_SEQUENCES)]
        )
        ours = StopAtStrings(StopStrings(strings, tokens))
        for length in range(1, _LENGTH + 1):
            met = theirs(ids[:, :length], None).tolist()
            assert ours(ids[:, :length], None).tolist() == met, strings
            num_met += sum(met)
    if is_refused:
        with pytest.raises(InvalidParameter, match="stop"):
            StopStrings(["a"], tokens).ends([len(tokenizer) // 2])
    else:
        assert num_met


def test_a_string_that_no_token_ends_in_is_never_met() -> None:
    tokenizer = TOKENIZERS["wordpiece"]()
    stop = StopStrings(["漢字"], TokenBytes(tokenizer))
    assert not any(stop.ends([token]) for token in range(len(tokenizer)))


def test_a_set_of_strings_costs_what_the_last_tokens_cost() -> None:
    """S12: each new set of 16 long strings cost seconds of the device loop with a large vocabulary."""
    tokenizer = _Counting(TOKENIZERS["bytes"]())
    tokens = TokenBytes(tokenizer)
    for number in range(50):
        stop = StopStrings([f"{number} {place} " * 20 for place in range(16)], tokens)
        stop.ends([9, 10, 11, 12])
    assert tokenizer.num_converted <= 6 + 4


class _Counting:
    """A tokenizer that counts how many tokens it is asked for."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self.num_converted = 0

    def __len__(self) -> int:
        return len(self._tokenizer)

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self._tokenizer(*args, **options)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def convert_ids_to_tokens(self, ids: Any) -> Any:
        self.num_converted += 1 if isinstance(ids, int) else len(ids)
        return self._tokenizer.convert_ids_to_tokens(ids)

    def get_vocab(self) -> Any:
        pytest.fail("the whole vocabulary is looked through")
