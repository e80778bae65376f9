"""Who is computed in the next step. Pure policy: no torch, no model, no clock.

Requests come in the order in which documents were taken in, which is fair already. They wait
for a seat and for a promise of all pages they may need; nobody overtakes within a priority, so
nobody starves, and nobody who was let in is sent back. Prompts are computed in chunks beside
the rows that decode, within a budget that bounds how long those wait.
"""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Collection, Hashable
from dataclasses import dataclass

from models.decoding.scheduling.layout import max_prompts
from models.decoding.scheduling.lineup import Lineup
from models.decoding.scheduling.request import Request
from models.decoding.scheduling.seats import Seats

#: Rows and pages kept for requests more urgent than the least urgent inside: one in so many.
_KEPT_FOR_URGENT = 8


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What fits the device."""

    max_rows: int  #: that decode in one step, urgent ones included
    num_pages: int  #: of keys and values, for all rows
    max_entries: int  #: keys that one row may have
    chunk_sizes: tuple[int, ...]  #: prompt tokens computed in one step, ascending
    max_begun: int = 128  #: requests that may begin in one step
    #: A step is as large as what it computes; else it is padded to one of few shapes, which repeat.
    is_exact: bool = False


@dataclass(frozen=True)
class Chunk:
    """A part of a prompt that is computed in one step."""

    request: Request
    start: int
    num_tokens: int


class Scheduler:
    """Requests that wait, prompts that are computed, rows that decode."""

    def __init__(self, limits: Limits, seats: Seats) -> None:
        self.limits = limits
        self.running: dict[Hashable, Request] = {}  #: everybody who has a seat
        self.decoding: dict[Hashable, Request] = {}  #: those whose prompt is complete
        self.max_running = seats.num_seats  #: fewer for a while after a step that failed
        self._lineup = Lineup((), *seats.of(()), number=0)
        self._num_changes = 0  # of `decoding`
        self._seats = seats
        self._priorities: Counter[float] = Counter()  # of those who run: few, asked at every step
        self._waiting: list[Request] = []  # in order
        self._filling: list[Request] = []  # in order
        self._arrivals = 0

    @property
    def num_waiting(self) -> int:
        """Requests that wait to be let in."""
        return len(self._waiting)

    @property
    def best_waiting_priority(self) -> float | None:
        """Of the request that is let in next."""
        return self._waiting[0].priority if self._waiting else None

    @property
    def num_to_fill(self) -> int:
        """Prompt tokens still to be computed, of those inside."""
        return sum(request.num_to_fill for request in self._filling)

    def lineup(self) -> Lineup:
        """The rows of those who decode."""
        if self._lineup.number != self._num_changes:
            requests = [*self.decoding.values()]
            self._lineup = Lineup(requests, *self._seats.of(requests), number=self._num_changes)
        return self._lineup

    def add(self, request: Request) -> None:
        """Queues a request behind those of its priority; who comes again keeps its place."""
        if request.arrival < 0:
            request.arrival = self._arrivals
            self._arrivals += 1
        bisect.insort(self._waiting, request, key=_order)

    @property
    def next_waiting(self) -> Request | None:
        """Who is let in next."""
        return self._waiting[0] if self._waiting else None

    @property
    def best_running_priority(self) -> float | None:
        """Of the most urgent that has a seat."""
        return min(self._priorities, default=None)

    def discard(self, keys: Collection[Hashable]) -> None:
        """Forgets requests, wherever they are; unknown keys are ignored."""
        self._waiting = [request for request in self._waiting if request.key not in keys]
        for key in keys:
            if key in self.running:
                self.leave(self.running[key])

    def leave(self, request: Request) -> None:
        """Frees the seat and the pages of a request that has them."""
        del self.running[request.key]
        self._priorities[request.priority] -= 1
        self._priorities += Counter()  # drops zeros
        if self.decoding.pop(request.key, None) is None:
            self._filling.remove(request)
        self._num_changes += 1
        self._seats.leave(request)

    def admit(self) -> list[Request]:
        """Seats who fits, in order, up to the first who does not."""
        admitted: list[Request] = []
        room = 2 * self.limits.chunk_sizes[-1] - self.num_to_fill  # more could not begin soon
        while self._waiting and room > 0 and len(admitted) < self.limits.max_begun:
            request = self._waiting[0]
            if not self._fits(request):
                break
            self._waiting.pop(0)
            self._seats.enter(request)
            self.running[request.key] = request
            self._priorities[request.priority] += 1
            room -= request.num_to_begin
            admitted.append(request)
            if request.num_to_fill:
                bisect.insort(self._filling, request, key=_order)
            else:
                self._decode(request)
        return admitted

    def fill(self) -> tuple[list[Chunk], int]:
        """The prompt tokens of the next step, the most urgent first, and the size they are padded to.

        A request whose prompt is complete with it decodes in the same step.
        """
        waiting = self.num_to_fill
        if not waiting:
            return [], 0
        size, most = self._chunk_of(waiting)
        chunks: list[Chunk] = []
        room = size
        while room and self._filling and len(chunks) < most:
            request = self._filling[0]
            num_tokens = min(room, request.num_to_fill)
            chunks.append(Chunk(request, request.num_filled, num_tokens))
            request.num_filled += num_tokens
            room -= num_tokens
            if not request.num_to_fill:
                self._filling.pop(0)
                self._decode(request)
        return chunks, size

    def _decode(self, request: Request) -> None:
        self.decoding[request.key] = request
        self._num_changes += 1

    def _chunk_of(self, num_waiting: int) -> tuple[int, int]:
        """Tokens and prompts that fit into the chunk of the next step."""
        if self.limits.is_exact:
            size = min(num_waiting, self.limits.chunk_sizes[-1])
            return size, size
        size = max((size for size in self.limits.chunk_sizes if size <= num_waiting), default=0)
        size = size or self.limits.chunk_sizes[0]
        return size, max_prompts(size)

    def _fits(self, request: Request) -> bool:
        if len(self.running) >= self.max_running:
            return False
        if not self.running:
            return self._seats.fits(request, self._seats.pages.capacity)
        kept = 0 if max(self._priorities) > request.priority else 1
        max_promised = self._seats.pages.capacity * (_KEPT_FOR_URGENT - kept) // _KEPT_FOR_URGENT
        spare = kept * (self._seats.num_seats // _KEPT_FOR_URGENT)
        return self._seats.num_free - request.num_rows >= spare and self._seats.fits(request, max_promised)


def _order(request: Request) -> tuple[float, int]:
    return request.order
