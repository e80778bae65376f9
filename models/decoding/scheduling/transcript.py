"""The tokens of every row, step by step; they are read when a request ends. No torch here."""

from __future__ import annotations

import numpy as np

from models.decoding.scheduling.seats import Ints


class Transcript:
    """A table: what a step says costs one assignment for all rows together.

    A row that is nobody's any more may be written to once more; whoever sits there next writes
    over it, from the first place on, before it is read.
    """

    def __init__(self, num_seats: int, most_tokens: int) -> None:
        self._tokens: Ints = np.zeros((num_seats, most_tokens), np.int32)

    @property
    def shape(self) -> tuple[int, ...]:
        """Seats and tokens."""
        return self._tokens.shape

    def note(self, seats: Ints, places: Ints, said: Ints) -> None:
        """What the rows of a step say (`layout`), and which of their new tokens it is."""
        self._tokens[seats, places] = token_of(said)

    def read(self, seat: int, count: int) -> list[int]:
        """The first new tokens of a row."""
        tokens: list[int] = self._tokens[seat, :count].tolist()
        return tokens


def token_of(said: Ints) -> Ints:
    """What a row says is a token, or -1 - the token that ends it."""
    tokens: Ints = said ^ (said >> 31)
    return tokens
