"""Seats for groups of rows: a prompt's pages are shared, what follows is each beam's own. No torch here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate

import numpy as np

from models.decoding.scheduling.group import Group
from models.decoding.scheduling.pages import PAGE_TOKENS, PageAllocator, Pages, num_pages_for
from models.decoding.scheduling.request import Request
from models.decoding.scheduling.seats import Ints, Seats


class GroupSeats(Seats):
    """Rows of the batch state, handed out by groups; and the pages of their sources.

    The whole pages of a prompt are in the table of every beam and belong to the leader, the first
    beam. A page that the prompt fills in part is the leader's too; each other beam has one of its
    own at that place, for what it writes itself.
    """

    def __init__(self, num_seats: int, most_pages: int, num_pages: int, *, has_sources: bool = False) -> None:
        super().__init__(num_seats, most_pages, num_pages)
        self._has_sources = has_sources
        self.sources = PageAllocator(num_pages if has_sources else 1)
        self._num_shared: Ints = np.zeros(num_seats, np.int32)  # pages of the table that are the leader's

    def of(self, requests: Sequence[Request]) -> tuple[Ints, Iterable[int]]:
        """As of single rows."""
        seats = [request.seats for request in requests if isinstance(request, Group)]
        firsts = accumulate(map(len, seats), initial=0)
        return np.concatenate([np.zeros(0, np.int32), *seats]), firsts

    def resize(self, num_pages: int) -> None:
        """Another number of pages, while nobody has any."""
        super().resize(num_pages)
        self.sources = PageAllocator(num_pages if self._has_sources else 1)

    def fits(self, request: Request, max_promised: int) -> bool:
        """Whether there are seats, and a promise of pages up to so many of all, in both pools."""
        assert isinstance(request, Group)
        wanted = num_pages_for(len(request.source_ids))
        most_of_sources = self.sources.capacity * max_promised // self.pages.capacity
        return (
            self.num_free >= request.num_rows
            and self.pages.num_promised + own_pages(request) <= max_promised
            and self.sources.num_promised + wanted <= most_of_sources
        )

    def enter(self, request: Request) -> None:
        """Seats a group; it has the pages of its prompt and of its source at once."""
        assert isinstance(request, Group)
        num_prompt = len(request.input_ids) - 1
        count, num_shared = num_pages_for(num_prompt), num_prompt // PAGE_TOKENS
        self.pages.promise(own_pages(request))
        seats = np.array([self._free.pop() for _ in range(request.num_rows)], np.int32)
        request.seats, request.seat = seats, int(seats[0])
        self._held[seats[0], :count] = self.pages.take(count)
        self._held[seats[1:], :num_shared] = self._held[seats[0], :num_shared]
        if count > num_shared:
            self._held[seats[1:], num_shared] = self.pages.take(len(seats) - 1)
        self._num_shared[seats] = num_shared
        self._num_shared[seats[0]] = 0
        self._num_held[seats] = count
        self._begin(seats, request)
        num_pages = num_pages_for(len(request.source_ids))
        self.sources.promise(num_pages)
        request.source_pages = self.sources.take(num_pages)

    def leave(self, request: Request) -> None:
        """Frees the seats and all pages of a group."""
        assert isinstance(request, Group)
        held = [self._held[seat, self._num_shared[seat] : self._num_held[seat]] for seat in request.seats]
        self.pages.give_back(np.concatenate(held), promised=own_pages(request))
        self.sources.give_back(request.source_pages, promised=len(request.source_pages))
        self._free.extend(request.seats.tolist())
        request.seat = -1
        request.seats = request.source_pages = np.zeros(0, np.int32)

    def own_table(self, seat: int) -> Pages:
        """The pages of a seat that are its own."""
        return self._held[seat, self._num_shared[seat] : self._num_held[seat]]


def own_pages(group: Group) -> int:
    """Pages of keys and values that a group may need at most."""
    num_shared = (len(group.input_ids) - 1) // PAGE_TOKENS
    all_of_one = num_pages_for(group.max_entries)
    return all_of_one + (group.num_rows - 1) * (all_of_one - num_shared)
