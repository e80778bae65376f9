"""Which pages of keys and values are free. No torch here.

A request is let in when the pages that it may need at most are not spoken for, and takes
them one by one as it grows: nobody ever has to be sent back for want of a page.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Positions a page.
PAGE_TOKENS = 16

Pages = NDArray[np.int32]

#: Pages that are worth to be given back.
_WORTH_IT = 8


def num_pages_for(num_entries: int) -> int:
    """Pages that hold so many keys."""
    return -(-num_entries // PAGE_TOKENS)


class PageAllocator:
    """Pages 1 to `num_pages` - 1; page 0 is nobody's: rows that pad a step read and write there."""

    def __init__(self, num_pages: int) -> None:
        self.num_pages = num_pages
        self.num_promised = 0
        self._free: Pages = np.arange(num_pages - 1, 0, -1, dtype=np.int32)
        self._num_free = num_pages - 1
        self._most_taken = 0  # since the last time that they were settled

    @property
    def capacity(self) -> int:
        """Pages that can be had."""
        return self.num_pages - 1

    @property
    def num_free(self) -> int:
        """Pages that nobody has."""
        return self._num_free

    @property
    def num_taken(self) -> int:
        """Pages that somebody has."""
        return self.capacity - self._num_free

    def promise(self, count: int) -> None:
        """Speaks for pages that somebody will take later."""
        assert self.num_promised + count <= self.capacity, "promised pages can always be taken"
        self.num_promised += count

    def take(self, count: int) -> Pages:
        """Pages out of those promised."""
        assert count <= self._num_free, "promised pages can always be taken"
        self._num_free -= count
        self._most_taken = max(self._most_taken, self.num_taken)
        return self._free[self._num_free : self._num_free + count].copy()

    @property
    def has_fallen(self) -> bool:
        """Whether far fewer pages are taken than were once."""
        return 2 * self.num_taken + _WORTH_IT < self._most_taken

    def settle(self) -> Pages:
        """From now on the lowest free pages are taken first; all free ones, ascending."""
        free = np.sort(self._free[: self._num_free])
        self._free[: self._num_free] = free[::-1]
        self._most_taken = self.num_taken
        return free

    def give_back(self, pages: Pages, *, promised: int) -> None:
        """Returns the pages of somebody who leaves, and what was promised to them."""
        self._free[self._num_free : self._num_free + len(pages)] = pages
        self._num_free += len(pages)
        self.num_promised -= promised
