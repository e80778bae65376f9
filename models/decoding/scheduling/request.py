"""One text on its way through the decoding engine, from `add` to its result. No torch here."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How tokens are chosen; requests of equal parameters share one."""

    temperature: float = 0.0  #: 0: always the most likely token
    top_k: int = 0  #: 0: all tokens
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    min_new_tokens: int = 0
    min_length: int = 0  #: of prompt and new tokens together
    end_ids: tuple[int, ...] = ()
    banned_ids: tuple[int, ...] = ()
    forced_last_id: int = -1  #: the last token that the limit allows; -1: none is forced


@dataclass(kw_only=True, eq=False)
class Request:
    """One text to decode, what it has produced, and where it stands."""

    key: Hashable
    input_ids: NDArray[np.int32]
    max_new_tokens: int
    sampling: Sampling = Sampling()
    seed: int = 0
    priority: float = 6.0  #: lower is sooner
    stop: Any = None  #: tells whether a sequence ends in a stop string
    slow: Any = None  #: chooses its tokens where the sampler does not know how
    is_read_early: bool = False  #: its tokens are wanted before it ends
    constraint: Any = None  #: says which tokens may come next, where the text has to keep to a grammar
    provenance: Mapping[str, str] = field(default_factory=dict)  #: what its result adds to the prompt's
    arrival: int = field(default=-1, init=False)
    seat: int = field(default=-1, init=False)  #: its row of the batch state; -1: none
    num_filled: int = field(default=0, init=False)  #: tokens of the prompt whose keys are in pages
    #: all tokens that its limit allows are computed: its seat is free, the last are on their way
    is_complete: bool = field(default=False, init=False)
    new_tokens: list[int] = field(default_factory=list, init=False)  #: filled when it ends, if nobody watches
    failure: Exception | None = field(default=None, init=False)  #: what its slow choice or constraint raised
    is_gone: bool = field(default=False, init=False)  #: settled or dropped: later tokens are nobody's

    @property
    def num_to_fill(self) -> int:
        """Tokens of the prompt still to be computed; its last token is the first that decodes."""
        return len(self.input_ids) - 1 - self.num_filled

    @property
    def num_to_begin(self) -> int:
        """Tokens still to be computed before it decodes."""
        return self.num_to_fill

    @property
    def num_rows(self) -> int:
        """Sequences that it decodes side by side."""
        return 1

    @property
    def is_watched(self) -> bool:
        """Whether its tokens are looked at after every step."""
        return self.is_read_early or any(each is not None for each in (self.slow, self.stop, self.constraint))

    @property
    def max_entries(self) -> int:
        """Keys that it has in the end, at most: the last token's are never computed."""
        return len(self.input_ids) - 1 + self.max_new_tokens

    @property
    def min_length(self) -> int:
        """Below this length, prompt included, no token may end it."""
        return max(self.sampling.min_length, len(self.input_ids) + self.sampling.min_new_tokens)

    @property
    def end_ids(self) -> Collection[int]:
        """Tokens that end it."""
        ids: Collection[int] = self.sampling.end_ids if self.slow is None else self.slow.end_ids
        return ids

    @property
    def order(self) -> tuple[float, int]:
        """Who comes first."""
        return (self.priority, self.arrival)

    def begin_again(self) -> None:
        """Forgets what was computed; the same tokens come out of it once more."""
        self.seat = -1
        self.num_filled = 0
        self.is_complete = False
        self.new_tokens = []
        self.failure = None
        for each in (self.slow, self.constraint):
            if each is not None:
                each.begin_again()
