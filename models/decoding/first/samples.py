"""A document whose sequences go on by themselves: greedy decoding and sampling."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from models.decoding.parameters.options import Options
from models.decoding.parameters.prompt import Decoded


class Samples:
    """One greedy sequence, or several sampled ones from one stream of random numbers."""

    def __init__(self, options: Options, device: torch.device) -> None:
        self.options = options
        self.width = options.num_returned
        self.sequences: list[list[int]] = [[] for _ in range(self.width)]
        #: the sequences that go on, by number; each is one row of the next step
        self.live = list(range(self.width))
        self._is_stopped = [False] * self.width
        self.generator: torch.Generator | None = None
        if options.is_sampled:
            self.generator = torch.Generator(device).manual_seed(options.prompt.seed or 0)

    @property
    def is_done(self) -> bool:
        """Whether no sequence goes on."""
        return not self.live

    @property
    def next_tokens(self) -> list[int]:
        """What each live sequence continues from."""
        return [self.sequences[number][-1] for number in self.live]

    #: nothing is ever reordered
    parents: None = None

    def proposed(self, tokens: Sequence[int]) -> list[list[int]]:
        """The live sequences with the next token of each, start included."""
        start = self.options.start_ids
        return [
            [*start, *self.sequences[number], token] for number, token in zip(self.live, tokens, strict=True)
        ]

    def accept(self, tokens: Sequence[int], ends: Sequence[bool]) -> None:
        """Appends a token to each live sequence; `ends` says which are complete with it by a stop string."""
        going_on = []
        for number, token, is_end in zip(self.live, tokens, ends, strict=True):
            sequence = self.sequences[number]
            sequence.append(token)
            self._is_stopped[number] = token in self.options.end_ids
            if not (
                is_end or self._is_stopped[number] or len(sequence) >= self.options.prompt.max_new_tokens
            ):
                going_on.append(number)
        self.live = going_on

    def result(self) -> Decoded:
        """What came out."""
        return Decoded(sequences=self.sequences, is_stopped=self._is_stopped)
