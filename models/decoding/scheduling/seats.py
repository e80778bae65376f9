"""Who sits in which row of the batch state, how long it is, and which pages it has. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from models.decoding.scheduling.pages import PAGE_TOKENS, PageAllocator, Pages, num_pages_for
from models.decoding.scheduling.request import Request

Ints = NDArray[np.int32]


class Seats:
    """Rows of the batch state."""

    def __init__(self, num_seats: int, most_pages: int, num_pages: int) -> None:
        self.num_seats = num_seats
        self.most_pages = most_pages
        self.pages = PageAllocator(num_pages)
        self._free = list(range(num_seats - 1, -1, -1))
        self._lengths: Ints = np.zeros(num_seats, np.int32)  # position of the next token
        self._begun_at: Ints = np.zeros(
            num_seats, np.int32
        )  # position of the first that is computed by steps
        self._most: Ints = np.zeros(num_seats, np.int32)  # keys that the row has in the end, at most
        self._held: Pages = np.zeros((num_seats, most_pages), np.int32)
        self._num_held: Ints = np.zeros(num_seats, np.int32)

    @property
    def num_free(self) -> int:
        """Seats that nobody has."""
        return len(self._free)

    def of(self, requests: Sequence[Request]) -> tuple[Ints, Iterable[int]]:
        """The seats of these, row by row, and which is the first row of each."""
        return np.array([request.seat for request in requests], np.int32), range(len(requests))

    def resize(self, num_pages: int) -> None:
        """Another number of pages, while nobody has any."""
        assert self.num_free == self.num_seats, "pages of somebody would be forgotten"
        self.pages = PageAllocator(num_pages)

    def fits(self, request: Request, max_promised: int) -> bool:
        """Whether there is a seat, and a promise of pages up to so many of all."""
        needed = num_pages_for(request.max_entries)
        return bool(self._free) and self.pages.num_promised + needed <= max_promised

    def enter(self, request: Request) -> None:
        """Seats a request; it has the pages of its prompt at once."""
        num_prompt = len(request.input_ids) - 1
        self.pages.promise(num_pages_for(request.max_entries))
        seat = request.seat = self._free.pop()
        count = num_pages_for(num_prompt)
        self._held[seat, :count] = self.pages.take(count)
        self._num_held[seat] = count
        self._begin(seat, request)

    def _begin(self, seats: int | Ints, request: Request) -> None:
        """Notes where the rows of a request begin and end."""
        self._lengths[seats] = self._begun_at[seats] = len(request.input_ids) - 1
        self._most[seats] = request.max_entries

    def leave(self, request: Request) -> None:
        """Frees a seat and all its pages."""
        seat, request.seat = request.seat, -1
        held = self._held[seat, : self._num_held[seat]]
        self.pages.give_back(held, promised=num_pages_for(request.max_entries))
        self._free.append(seat)

    def table(self, seat: int) -> Pages:
        """The pages of a seat, in order."""
        return self._held[seat, : self._num_held[seat]]

    def longest(self, seats: Ints) -> int:
        """Keys of the longest of these, the next token's included."""
        return int(self._lengths[seats].max(initial=0)) + 1

    def places(self, seats: Ints) -> Ints:
        """Which of its new tokens each of these was last advanced by."""
        places: Ints = self._lengths[seats] - self._begun_at[seats] - 1
        return places

    def full(self, seats: Ints) -> list[int]:
        """Places in `seats` of those who have had all tokens that their limit allows."""
        places: list[int] = np.flatnonzero(self._lengths[seats] == self._most[seats]).tolist()
        return places

    def advance(self, seats: Ints) -> tuple[Ints, Pages]:
        """One more token for each of these; places in `seats` that got a page for it, and the pages."""
        lengths = self._lengths[seats]
        self._lengths[seats] = lengths + 1
        growing = np.flatnonzero(lengths % PAGE_TOKENS == 0).astype(np.int32)
        taken = self.pages.take(len(growing))
        if len(growing):
            rows = seats[growing]
            self._held[rows, self._num_held[rows]] = taken
            self._num_held[rows] += 1
        return growing, taken
