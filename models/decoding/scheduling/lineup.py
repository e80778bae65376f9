"""Who decodes in a step, row by row; the same until somebody joins or leaves. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from models.decoding.scheduling.request import Request
from models.decoding.scheduling.seats import Ints


class Lineup:
    """The rows of a step.

    What a step asks of each request is asked here once, as a column of all rows, so that a step in
    which nobody joins, ends or is looked at touches no request at all.
    """

    def __init__(
        self, requests: Sequence[Request], seats: Ints, firsts: Iterable[int], *, number: int
    ) -> None:
        """Lines up.

        Args:
            requests: in the order of their rows.
            seats: of all rows.
            firsts: the first row of each request.
            number: how often somebody had joined or left before.
        """
        self.requests = requests
        self.seats = seats
        self.number = number
        #: by their first row
        self.by_row: dict[int, Request] = dict(zip(firsts, requests, strict=False))
        #: those whose tokens are looked at after every step, each with its first row
        self.watched = [each for each in self.by_row.items() if each[1].is_watched]
        #: of them, those whose tokens the sampler does not choose
        self.slow = [each for each in self.watched if each[1].slow is not None]
        #: of them, those that keep to grammars
        self.constrained = [each for each in self.watched if each[1].constraint is not None]
