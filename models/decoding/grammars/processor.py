"""A grammar as transformers' processors are: for whoever chooses tokens on the host by them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from transformers import LogitsProcessor

from models.decoding.grammars.grammar import Constraint, Grammar
from models.decoding.grammars.vocabulary import Words
from models.errors import GrammarFailed

_BYTE_BITS = torch.tensor([[byte >> bit & 1 for bit in range(8)] for byte in range(256)], dtype=torch.bool)
#: the eight answers of a byte, as one number
_AS_NUMBERS = _BYTE_BITS.view(torch.int64)[:, 0]


class GrammarProcessor(LogitsProcessor):
    """Leaves the tokens that a grammar allows.

    It stands behind all that changes scores and before all that chooses among them (temperature,
    top-k, top-p), so that nothing lifts what it forbids and something is left to choose from.
    """

    def __init__(self, grammar: Grammar, num_before: int, *, has_forced_first: bool = False) -> None:
        """Sets up.

        Args:
            grammar: of the text.
            num_before: tokens before the first new one.
            has_forced_first: the first new one is the model's own, and no text.
        """
        self._grammar = grammar
        self._num_before = num_before + has_forced_first
        self._ends = frozenset(grammar.end_ids)
        self._known: dict[tuple[int, ...], Constraint] = {}  # by the tokens that it was asked about

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores of (rows, vocabulary), those of forbidden tokens minus infinity.

        Raises:
            GrammarFailed: nothing is left.
        """
        if input_ids.shape[1] < self._num_before:
            return scores
        sequences = [tuple(ids) for ids in input_ids[:, self._num_before :].tolist()]
        going_on = [place for place, ids in enumerate(sequences) if self._ends.isdisjoint(ids)]
        if not going_on:
            return scores
        words = self._words([sequences[place] for place in going_on])
        rows = torch.tensor(going_on, device=scores.device)
        left = masked(scores[rows], words)
        if bool((left == -torch.inf).all(dim=1).any()):
            raise GrammarFailed("what the grammar allows next, the model's own settings forbid")
        return scores.index_copy(0, rows, left)

    def _words(self, sequences: list[tuple[int, ...]]) -> Tensor:
        """What is allowed after each of these, (sequences, words)."""
        known: dict[tuple[int, ...], Constraint] = {}
        words: list[Words] = []
        for ids in sequences:
            before = self._known.get(ids[:-1]) if ids else None
            known[ids] = self._grammar.begin() if before is None else before.copy()
            words.append(known[ids].allowed_after(ids))
        self._known = known
        return torch.from_numpy(np.stack(words).view(np.int32))


def masked(scores: Tensor, words: Tensor) -> Tensor:
    """Scores with minus infinity for tokens whose bit is not set.

    Args:
        scores: (rows, vocabulary), in any floating type.
        words: (rows, 32-bit words), the lowest bit of the first for token 0.
    """
    numbers = words.contiguous().view(torch.uint8).to(scores.device, non_blocking=True)
    allowed = _AS_NUMBERS.to(scores.device)[numbers.int()].view(torch.bool)
    num_tokens = scores.shape[1]
    missing = num_tokens - allowed.shape[1]
    if missing > 0:  # a model may have more tokens than its tokenizer
        allowed = torch.nn.functional.pad(allowed, (0, missing))
    return scores.masked_fill(~allowed[:, :num_tokens], -torch.inf)
