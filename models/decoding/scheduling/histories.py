"""What beams have said, step by step; a finished sequence is read back from its end. No torch here.

A step costs two assignments for all rows together: nobody's sequence is touched before it is
finished, and beams that change places are not moved.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.decoding.scheduling import group_layout, layout
from models.decoding.scheduling.group_layout import SAID_LENGTH, SAID_PARENT, SAID_TOKEN
from models.decoding.scheduling.seats import Ints
from models.decoding.scheduling.transcript import Transcript


class Histories:
    """Which beam each token of every row continues, beside the transcript of the tokens themselves."""

    def __init__(self, transcript: Transcript) -> None:
        self._tokens = transcript
        self._parents: NDArray[np.uint8] = np.zeros(transcript.shape, np.uint8)

    def note(self, seats: Ints, said: Ints) -> None:
        """What the rows of a step say, (rows, `NUM_SAID`); those that say nothing are left out."""
        is_there = said[:, SAID_TOKEN] > layout.NOT_FINITE
        if not is_there.all():
            seats, said = seats[is_there], said[is_there]
        places = said[:, SAID_LENGTH] - 1
        self._tokens.note(seats, places, said[:, SAID_TOKEN])
        self._parents[seats, places] = said[:, SAID_PARENT]

    def finished(self, seats: Ints, said: Ints, count: int) -> list[list[int]]:
        """The best finished sequences of a group whose search has ended, best first.

        Args:
            seats: of the group.
            said: by its rows when it ended.
            count: how many there are at most.
        """
        found = said[:count, group_layout.SAID_FINISHED :].tolist()
        return [self._back(seats, *sequence) for _, *sequence in found if sequence[0] > 0]

    def _back(self, seats: Ints, length: int, beam: int, last: int) -> list[int]:
        tokens = [last]
        places = [self._tokens.read(seat, length - 1) for seat in seats]
        parents = self._parents[seats, : length - 1].tolist()
        for place in range(length - 2, -1, -1):
            tokens.append(places[beam][place])
            beam = parents[beam][place]
        return tokens[::-1]
