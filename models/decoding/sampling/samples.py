"""A document whose sequences go on by themselves: greedy decoding and sampling."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.decoding.parameters.options import Options
from models.decoding.parameters.prompt import Decoded
from models.decoding.sampling.finite import check_finite


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

    def chosen(self, scores: Tensor) -> list[int]:
        """The next token of each live sequence.

        Args:
            scores: (live sequences, vocabulary), processed.

        Raises:
            NotFinite: the best of a row is no number.
        """
        best, tokens = scores.max(dim=-1)
        for score in best.tolist():  # before the draw, which cannot be repeated
            check_finite(score)
        return tokens.tolist() if self.generator is None else self.drawn(scores)

    def drawn(self, scores: Tensor) -> list[int]:
        """One token for each live sequence, out of (live sequences, vocabulary).

        A finished sequence draws too, so that the stream goes on as in `generate`, where all
        sequences of a document stay to the end.
        """
        shares = scores.new_ones((self.width, scores.shape[-1]))
        shares[self.live] = torch.softmax(scores, dim=-1)
        drawn = torch.multinomial(shares, num_samples=1, generator=self.generator)
        return [int(token) for token in drawn[self.live, 0].tolist()]

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
