"""A step on its way, and what its tokens mean once they are read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.decoding.parameters.prompt import Decoded
from models.decoding.recovery import told
from models.decoding.scheduling.layout import NOT_FINITE, NOTHING
from models.decoding.scheduling.lineup import Lineup
from models.decoding.scheduling.request import Request
from models.decoding.scheduling.seats import Ints
from models.decoding.scheduling.transcript import Transcript, token_of
from models.errors import DocumentError, GrammarFailed, NotFinite
from models.loading.stops import end_in_stop

#: What is said where a grammar and a model contradict each other.
NOTHING_LEFT = "what the grammar allows next, the model's own settings forbid"

Outcome = tuple[Request, Decoded | DocumentError]


@dataclass(frozen=True)
class Flight(ABC):
    """A step whose tokens the host has not read."""

    lineup: Lineup
    chosen: Tensor  #: what the step says of each row
    event: torch.cuda.Event | None  #: until which `chosen` is not there; None: it is

    @abstractmethod
    def land(self) -> list[Outcome]:
        """Waits for what the step says, notes it and returns the requests that end with it."""

    def _said(self) -> Ints:
        if self.event is not None:
            self.event.synchronize()
        said: Ints = self.chosen.numpy()
        return said


@dataclass(frozen=True)
class RowFlight(Flight):
    """A step of requests of one row; `chosen` is (rows,), as `layout` says."""

    places: Ints  #: (rows,) which new token of its row each is
    transcript: Transcript

    def land(self) -> list[Outcome]:
        """As the interface says."""
        said = self._said()
        self.transcript.note(self.lineup.seats, self.places, said)
        broken = self._broken(said) if self.lineup.constrained else []
        stopped = self._look(said) if self.lineup.watched else []
        ended = np.flatnonzero((said < 0) & (said != NOTHING)).tolist()
        outcomes = [self._outcome(self.lineup.by_row[row], row, int(said[row])) for row in ended]
        outcomes += [(request, _decoded(request)) for request in stopped]
        outcomes += [(request, GrammarFailed(NOTHING_LEFT)) for request in broken]
        return [outcome for outcome in outcomes if not outcome[0].is_gone]

    def _broken(self, said: Ints) -> list[Request]:
        """Notes whose token is not one that the grammar allows; those of them that would go on with it.

        Where all that is allowed has a score of minus infinity, any token is as good as another.
        """
        broken: list[Request] = []
        tokens = token_of(said).tolist()
        for row, request in self.lineup.constrained:
            if request.is_gone or request.failure is not None or said[row] in (NOTHING, NOT_FINITE):
                continue
            if not request.constraint.permits(tokens[row]):
                request.failure = GrammarFailed(NOTHING_LEFT)
                if said[row] >= 0:
                    broken.append(request)
        return broken

    def _look(self, said: Ints) -> list[Request]:
        """Gives their tokens to those who are watched; those whose text ends in a stop string by them."""
        stopping: dict[int, list[Request]] = {}  # by what stops them
        tokens = token_of(said).tolist()
        for row, request in self.lineup.watched:
            if request.is_gone or said[row] in (NOTHING, NOT_FINITE):
                continue
            request.new_tokens.append(tokens[row])
            if said[row] >= 0 and request.stop is not None:
                stopping.setdefault(id(request.stop), []).append(request)
        return [request for requests in stopping.values() for request in _stopped(requests)]

    def _outcome(self, request: Request, row: int, said: int) -> Outcome:
        if request.failure is not None:
            return request, told(request.failure)
        if said == NOT_FINITE:
            return request, NotFinite()
        if not request.is_watched:
            count = int(self.places[row]) + 1
            request.new_tokens = self.transcript.read(int(self.lineup.seats[row]), count)
        return request, _decoded(request)


def _decoded(request: Request) -> Decoded:
    tokens = request.new_tokens
    is_stopped = tokens[-1] in request.end_ids
    return Decoded(sequences=[tokens], is_stopped=[is_stopped], provenance=request.provenance)


def _stopped(requests: list[Request]) -> list[Request]:
    """Those whose text ends in a stop string that they share; only its last tokens are looked at."""
    num_last = requests[0].stop.maximum_token_len
    ends = [
        [*request.input_ids[-num_last:].tolist(), *request.new_tokens[-num_last:]] for request in requests
    ]
    hits = end_in_stop(requests[0].stop, ends)
    return [request for request, is_hit in zip(requests, hits, strict=True) if is_hit]
