"""How a group's tokens are chosen where the device does not know how: on the host, as `generate` does it.

Transformers' own processors look at every sequence, stop strings at its end; beams may be drawn,
and there may be any number of them. What several sampled sequences of one text draw comes from one
stream of random numbers, as there.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from models.decoding.parameters.options import Options
from models.decoding.parameters.prompt import Decoded
from models.decoding.sampling.beam_search import BeamSearch
from models.decoding.sampling.samples import Samples
from models.loading.stops import end_in_stop


class GroupChoice:
    """The sequences of one text, and how the next token of each is chosen."""

    def __init__(self, options: Options, device: torch.device) -> None:
        self._options = options
        self._device = device
        self._search = self._begun()

    @property
    def end_ids(self) -> frozenset[int]:
        """Tokens that end a sequence."""
        return self._options.end_ids

    @property
    def is_done(self) -> bool:
        """Whether nothing goes on."""
        return self._search.is_done

    @property
    def live(self) -> list[int]:
        """Rows that go on."""
        return self._search.live

    def begin_again(self) -> None:
        """From the first token."""
        self._search = self._begun()

    def choose(self, scores: Tensor) -> tuple[list[int], list[int]]:
        """The next token of each row, and which row it continues.

        Args:
            scores: (rows, vocabulary) in float32; before the first token all rows are the first.

        Raises:
            InvalidParameter: the vocabulary is too small for so many beams and end tokens.
            NotFinite: of the scores that the processors leave, the best is no number.
        """
        search = self._search
        if isinstance(search, BeamSearch):
            return self._choose_beams(search, scores)
        return self._choose_samples(search, scores)

    def result(self) -> Decoded:
        """What came out."""
        return self._search.result()

    def _begun(self) -> BeamSearch | Samples:
        kind = BeamSearch if self._options.num_beams > 1 else Samples
        return kind(self._options, self._device)

    def _choose_beams(self, search: BeamSearch, scores: Tensor) -> tuple[list[int], list[int]]:
        logs = torch.log_softmax(_of_all(scores, search.beams), dim=-1)
        found = search.candidates(self._processed(search.beams, logs))
        search.accept(found, self._ends(search.proposed(found)))
        assert search.parents is not None, "a step has just been taken"
        return search.next_tokens, search.parents

    def _choose_samples(self, search: Samples, scores: Tensor) -> tuple[list[int], list[int]]:
        sequences = [search.sequences[number] for number in search.live]
        rows = _of_all(scores, search.sequences)[search.live]
        tokens = search.chosen(self._processed(sequences, rows))
        search.accept(tokens, self._ends(search.proposed(tokens)))
        return [sequence[-1] for sequence in search.sequences], list(range(search.width))

    def _processed(self, sequences: Sequence[Sequence[int]], scores: Tensor) -> Tensor:
        start = self._options.start_ids
        ids = torch.tensor([[*start, *sequence] for sequence in sequences], device=scores.device)
        for processor in self._options.active(ids.shape[1]):
            scores = processor(ids, scores)
        return scores

    def _ends(self, proposed: Sequence[Sequence[int]]) -> Sequence[bool]:
        """Which of these a stop string completes."""
        stop = self._options.stop
        return [False] * len(proposed) if stop is None else end_in_stop(stop, proposed)


def _of_all(scores: Tensor, sequences: Sequence[Sequence[int]]) -> Tensor:
    """A row for each sequence; they begin alike, and the first stands for all, to the last bit."""
    return scores if sequences[0] else scores[:1].expand(len(sequences), -1)
