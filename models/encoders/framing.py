"""What a tokenizer puts around a text, or around two, learned from what it does.

Known once, it serves every window of every document: texts are cut on their tokens, so
that a tokenizer without offsets or windows of its own (the slow ones) is served as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from models.errors import CannotLoad

_SAMPLES = (("The weather is nice.", "It rains in 12 towns."), ("a", "b c"), ("x y z 1 2 3", "w"))


@dataclass(frozen=True, kw_only=True, eq=False)
class Tokens:
    """One row as the model reads it."""

    ids: list[int]
    types: list[int] | None  #: token type ids, where the tokenizer gives them


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The tokens before, between and behind; `types` has those of each part and text."""

    before: tuple[int, ...]
    between: tuple[int, ...]
    behind: tuple[int, ...]
    types: tuple[tuple[int, ...], int, tuple[int, ...], int, tuple[int, ...]] | None

    @property
    def num_tokens(self) -> int:
        """Tokens that it adds."""
        return len(self.before) + len(self.between) + len(self.behind)

    def around(self, first: Sequence[int], second: Sequence[int] = ()) -> Tokens:
        """The row of one text, or of a pair."""
        ids = [*self.before, *first, *self.between, *second, *self.behind]
        if self.types is None:
            return Tokens(ids=ids, types=None)
        before, of_first, between, of_second, behind = self.types
        types = [*before, *([of_first] * len(first)), *between, *([of_second] * len(second)), *behind]
        return Tokens(ids=ids, types=types)


def learn_frame(tokenizer: PreTrainedTokenizerBase, *, is_pair: bool) -> Frame:
    """The frame of one text, or of two.

    Raises:
        CannotLoad: what the tokenizer adds depends on the text.
    """
    frames = {_frame_of(tokenizer, pair if is_pair else pair[:1]) for pair in _SAMPLES}
    if len(frames) != 1:
        raise CannotLoad(
            f"{type(tokenizer).__name__} adds special tokens that depend on the text, which is not served: "
            "use a tokenizer that adds the same ones to every text"
        )
    return frames.pop()


def _frame_of(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> Frame:
    whole: Any = tokenizer(*texts)
    ids, types = list(whole["input_ids"]), whole.get("token_type_ids")
    places, begin = [], 0
    for text in texts:
        inner = list(tokenizer(text, add_special_tokens=False)["input_ids"])
        begin = _find(ids, inner, begin)
        places.append((begin, begin + len(inner)))
        begin += len(inner)
    (first, first_end), (second, second_end) = places[0], places[-1]
    if len(texts) == 1:
        second, second_end = first_end, first_end
    return Frame(
        before=tuple(ids[:first]),
        between=tuple(ids[first_end:second]),
        behind=tuple(ids[second_end:]),
        types=None
        if types is None
        else (
            tuple(types[:first]),
            types[first],
            tuple(types[first_end:second]),
            types[second] if len(texts) > 1 else 0,
            tuple(types[second_end:]),
        ),
    )


def _find(ids: Sequence[int], inner: Sequence[int], begin: int) -> int:
    for place in range(begin, len(ids) - len(inner) + 1):
        if inner and ids[place : place + len(inner)] == inner:
            return place
    raise CannotLoad(
        "the tokenizer reads a text otherwise when it adds special tokens to it, which is not served"
    )
