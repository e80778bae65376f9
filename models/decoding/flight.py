"""A step on its way, and what its tokens mean once they are read."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from models.decoding.parameters.prompt import Decoded
from models.decoding.recovery import told
from models.decoding.scheduling.layout import NOT_FINITE, NOTHING
from models.decoding.scheduling.request import Request
from models.errors import DocumentError, NotFinite
from models.loading.stops import end_in_stop

Outcome = tuple[Request, Decoded | DocumentError]


@dataclass(frozen=True)
class Flight:
    """A step whose tokens the host has not read."""

    requests: list[Request]  #: of the step's rows
    chosen: Tensor  #: (rows,) what the step says of each (`layout`)
    event: torch.cuda.Event | None  #: until which `chosen` is not there; None: it is

    def land(self) -> list[Outcome]:
        """Waits for the tokens, gives them to their requests and returns those that end with them."""
        if self.event is not None:
            self.event.synchronize()
        outcomes: list[Outcome] = []
        stopping: dict[int, list[Request]] = {}  # by what stops them
        for request, said in zip(self.requests, self.chosen.tolist(), strict=True):
            if request.is_gone or said == NOTHING:
                continue
            if request.failure is not None:
                outcomes.append((request, told(request.failure)))
                continue
            if said == NOT_FINITE:
                outcomes.append((request, NotFinite()))
                continue
            request.new_tokens.append(said if said >= 0 else -1 - said)
            if said < 0:
                outcomes.append((request, _decoded(request)))
            elif request.stop is not None:
                stopping.setdefault(id(request.stop), []).append(request)
        stopped = [request for requests in stopping.values() for request in _stopped(requests)]
        return outcomes + [(request, _decoded(request)) for request in stopped]


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
