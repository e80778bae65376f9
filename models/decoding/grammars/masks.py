"""Masks of the rows of a step that keep to grammars, made beside the model's forward pass.

The pass itself needs no mask: only who chooses the tokens does. Where the host knows all tokens
when a step begins, as on a CPU, masks are made while the pass is computed. Where it is a step behind,
the pass is begun first; the tokens of the step before are read and followed while it is under way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait

import numpy as np
import torch
from torch import Tensor

from models.decoding.grammars.processor import masked
from models.decoding.grammars.threads import grammar_threads
from models.decoding.grammars.vocabulary import Words
from models.decoding.scheduling.request import Request
from models.errors import DocumentError, GrammarFailed

_MOST_CHARACTERS = 300  #: of a message

Rows = Sequence[tuple[int, Request]]  #: places in the step, and who has them


class StepMasks:
    """The masks of one step."""

    def __init__(self, rows: Rows, read_before: Callable[[], None] | None = None) -> None:
        """Sets up.

        Args:
            rows: that keep to grammars.
            read_before: reads the tokens of the step before; None: they are read.
        """
        self._rows = rows
        self._read_before = read_before
        self._made: list[tuple[int, Request, Future[Words | None]]] = []

    def begin(self) -> None:
        """Begins to make them, if all tokens before are known."""
        if self._read_before is None:
            self._begin()

    def put(self, scores: Tensor) -> None:
        """Puts minus infinity into the scores of a step, (rows, vocabulary), for what is forbidden."""
        if self._read_before is not None:
            self._read_before()
            self._begin()
        words = [(place, made.result()) for place, _, made in self._made]
        failed = [place for place, found in words if found is None]
        good = [(place, found) for place, found in words if found is not None]
        if good:
            places = torch.tensor([place for place, _ in good], device=scores.device)
            stacked = torch.from_numpy(np.stack([found for _, found in good]).view(np.int32))
            scores.index_copy_(0, places, masked(scores[places], stacked))
        if failed:  # read as no numbers, and told with what has failed
            scores.index_fill_(0, torch.tensor(failed, device=scores.device), torch.nan)

    def wait(self) -> None:
        """Until nobody asks the grammars any more: after a step that failed their documents begin again."""
        wait([made for _, _, made in self._made])

    def _begin(self) -> None:
        threads = grammar_threads()
        self._made = [
            (place, request, threads.submit(_words_of, request))
            for place, request in self._rows
            if not request.is_gone
        ]


def _words_of(request: Request) -> Words | None:
    """What may follow the tokens of a request; None if that fails, and why is the request's to know."""
    try:
        words: Words = request.constraint.allowed_after(request.new_tokens)
    except DocumentError as error:
        request.failure = error
        return None
    except BaseException as error:  # what panics in llguidance's code is no `Exception`
        request.failure = GrammarFailed(f"the grammar cannot be kept to: {error}"[:_MOST_CHARACTERS])
        return None
    return words
