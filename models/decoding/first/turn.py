"""One document's part of a step: its rows of logits, and what is chosen from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor
from transformers import LogitsProcessor

from models.decoding.parameters.processors import banned_tokens
from models.decoding.sampling.beam_search import BeamSearch
from models.decoding.sampling.samples import Samples

Search = Samples | BeamSearch


@dataclass(eq=False)
class Turn:
    """One document's part of a step: its rows of logits, and what is chosen from them."""

    search: Search
    rows: slice  #: of the logits; a single one in the first step
    failure: Exception | None = None
    chosen: list[Any] = field(default_factory=list)  #: tokens, or candidates
    ends: list[bool] = field(default_factory=list)  #: which of these a stop string completes
    active: list[LogitsProcessor] = field(init=False)
    banned: list[int] | None = field(init=False)

    def __post_init__(self) -> None:
        self.active = self.search.options.active(self.length)
        self.banned = banned_tokens(self.active)

    @property
    def length(self) -> int:
        """Of its sequences, start included."""
        search = self.search
        sequence = search.beams[0] if isinstance(search, BeamSearch) else search.sequences[search.live[0]]
        return len(search.options.start_ids) + len(sequence)

    @property
    def is_first(self) -> bool:
        """Whether one row stands for all sequences."""
        return self.length == len(self.search.options.start_ids)

    @property
    def num_rows(self) -> int:
        """Rows it has."""
        return int(self.rows.stop - self.rows.start)


def known_tokens(tokens: Sequence[int], logits: Tensor) -> list[int]:
    """Those that the vocabulary has; configurations copied from other models forbid more."""
    return [token for token in tokens if 0 <= token < logits.shape[-1]]


def rows_of(turn: Turn, logits: Tensor) -> Tensor:
    """A row for each of its sequences."""
    own = logits[turn.rows]
    return own.expand(len(turn.search.live), -1) if turn.is_first else own


def last_sequences(turns: Sequence[Turn]) -> list[list[int]]:
    """Whole sequences of one document; of several, whose processors do not look, something of one length."""
    if len(turns) > 1:
        return [[0] for turn in turns for _ in turn.search.live]
    search = turns[0].search
    sequences = search.beams if isinstance(search, BeamSearch) else [search.sequences[n] for n in search.live]
    return [[*search.options.start_ids, *sequence] for sequence in sequences]
