"""One text whose sequences are decoded side by side: beams, of a prompt or of a source. No torch here."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.decoding.scheduling.request import Request

#: The most beams that are served, and the most candidates of a step (`BeamParameters.num_candidates`).
MOST_BEAMS = 16
MOST_CANDIDATES = 64

#: When a search stops: once the best running beam cannot win any more; once there are enough; never early.
EARLY_STOPPING = {False: 0, None: 0, True: 1, "never": 2}


@dataclass(frozen=True, kw_only=True)
class BeamParameters:
    """How beams are searched, beside what `Sampling` says of tokens.

    One beam that stops as soon as one sequence is there is greedy decoding.
    """

    num_beams: int = 1
    num_returned: int = 1
    num_candidates: int = 2  #: continuations to pick in a step: so many that enough of them do not end
    length_penalty: float = 1.0
    early_stopping: int = 1  #: of `EARLY_STOPPING`
    forced_first_id: int = -1  #: the first new token; -1: none is forced


@dataclass(kw_only=True, eq=False)
class Group(Request):
    """A request that has a seat for each of its beams.

    Of a decoder-only model, `input_ids` is the prompt. Of an encoder-decoder, it is what the
    decoder begins with, and `source_ids` what the encoder reads.
    """

    beams: BeamParameters = BeamParameters()
    source_ids: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    #: rows of the batch state, the leader's first; the leader's is `seat`
    seats: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32), init=False)
    #: where the keys of the source are
    source_pages: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32), init=False)

    @property
    def num_to_begin(self) -> int:
        """Tokens still to be computed before it decodes, by the encoder or the decoder."""
        return len(self.source_ids) or self.num_to_fill

    @property
    def num_rows(self) -> int:
        """Sequences that it decodes side by side."""
        return self.beams.num_beams
