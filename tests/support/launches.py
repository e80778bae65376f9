"""What the core does of each step, without a device: who is advanced, who is let go, what is read a step late."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

import numpy as np

from models.decoding.scheduling.lineup import Lineup
from models.decoding.scheduling.request import Request
from models.decoding.scheduling.scheduler import Scheduler
from models.decoding.scheduling.seats import Ints, Seats
from models.decoding.scheduling.transcript import Transcript


class Launches:
    """Steps; the token of a row is made of its request's key and of how many it has had."""

    def __init__(self, scheduler: Scheduler, seats: Seats, most_tokens: int) -> None:
        self.counts: Counter[Hashable] = Counter()  #: tokens of each request that are computed
        self._scheduler, self._seats = scheduler, seats
        self._transcript = Transcript(seats.num_seats, most_tokens)
        self._late: tuple[Lineup, Ints, Ints, list[tuple[int, Request]]] | None = None

    def step(self) -> list[Request]:
        """Everybody who decodes has one token more; those who have had all leave, and are returned."""
        lineup = self._scheduler.lineup()
        assert [*lineup.requests] == [*self._scheduler.decoding.values()]
        self._seats.advance(lineup.seats)
        for request in lineup.requests:
            self.counts[request.key] += 1
        said = [
            _token(request, self.counts[request.key])
            for request in lineup.requests
            for _ in range(request.num_rows)
        ]
        full = [(row, lineup.by_row[row]) for row in self._seats.full(lineup.seats) if row in lineup.by_row]
        assert [each for _, each in full] == [
            each for each in lineup.requests if self.counts[each.key] == each.max_new_tokens
        ]
        places = self._seats.places(lineup.seats)
        for _, request in full:
            self._scheduler.leave(request)
        self._land()
        self._late = lineup, places, np.array(said, np.int32), full
        return [request for _, request in full]

    def _land(self) -> None:
        if self._late is None:
            return
        lineup, places, said, full = self._late
        self._transcript.note(lineup.seats, places, said)
        for row, request in full:
            own = self._transcript.read(int(lineup.seats[row]), request.max_new_tokens)
            assert own == [_token(request, count + 1) for count in range(request.max_new_tokens)]


def _token(request: Request, count: int) -> int:
    return hash(request.key) * 1000 + count
