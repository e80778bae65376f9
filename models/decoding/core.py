"""The decoding core, second design: admit, stage, launch, land. One `step` is one step of the device.

The host is a step behind: while the device computes a step, the tokens of the one before are
read. What ends by its length is known before it is seen; what ends by a token is left alone by
the device at once, and by the host a step later.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from models.decoding.layout import NOT_FINITE, NOTHING, Shape, shape_for
from models.decoding.pages import num_pages_for
from models.decoding.parameters import SamplingMaker
from models.decoding.request import Request
from models.decoding.scheduler import Chunk, Limits, Scheduler
from models.decoding.seats import Ints, Seats
from models.decoding.staging import stage_chunks, stage_record, stage_rows
from models.decoding.steps import Program, StepRunner
from models.engine.prompt import Decoded, Prompt
from models.engine.stops import StopStrings, end_in_stop
from models.errors import DocumentError, NotFinite, OutOfMemory
from models.memory import is_out_of_memory, release_cached_memory

logger = logging.getLogger(__name__)

Result = tuple[Hashable, Decoded | DocumentError]

#: Named in the results: with the same seed transformers' own generator draws other tokens.
_DRAWN = {"random_numbers": "philox by seed and position"}
#: Steps that must go well before as many requests as before a failure run together again.
_RECOVER_AFTER = 100


@dataclass(frozen=True)
class _Flight:
    """A step whose tokens the host has not read."""

    requests: list[Request]
    chosen: Tensor
    event: torch.cuda.Event | None


class PagedCore:
    """Continuous decoding of decoder-only models."""

    def __init__(self, program: Program, runner: StepRunner, limits: Limits, sampling: SamplingMaker) -> None:
        self.counters = {"steps": 0, "live_rows": 0, "padded_tokens": 0, "useful_tokens": 0}
        self._program = program
        self.runner = runner
        self._sampling = sampling
        self._seats = Seats(limits.max_rows, program.state.most_pages, limits.num_pages)
        self.scheduler = Scheduler(limits, self._seats)
        self._inside: dict[Hashable, Request] = {}
        self._flight: _Flight | None = None
        self._num_good = 0
        self._results: list[Result] = []

    # The interface.

    def serves(self, prompt: Prompt) -> bool:
        """Whether a prompt's parameters and length are served here."""
        num_entries = len(prompt.input_ids) - 1 + prompt.max_new_tokens
        limits = self.scheduler.limits
        fits = num_entries <= limits.max_entries and num_pages_for(num_entries) < limits.num_pages
        return fits and self._sampling.make(prompt) is not None

    def add(self, key: Hashable, prompt: Prompt, *, priority: float) -> None:
        """Queues a prompt that is served here; the key is not inside yet."""
        made = self._sampling.make(prompt)
        assert made is not None, "somebody asked whether it is served"
        self.add_request(
            Request(
                key=key,
                input_ids=np.asarray(prompt.input_ids, np.int32),
                max_new_tokens=prompt.max_new_tokens,
                sampling=made[0],
                stop=made[1],
                seed=prompt.seed or 0,
                priority=priority,
            )
        )

    def add_request(self, request: Request) -> None:
        """Queues a request."""
        self._inside[request.key] = request
        self.scheduler.add(request)

    def discard(self, keys: Collection[Hashable]) -> None:
        """Drops requests, wherever they are; unknown ones are ignored."""
        self.scheduler.discard(keys)
        for key in keys:
            request = self._inside.pop(key, None)
            if request is not None:
                request.is_gone = True
        self._rest()

    def clear(self) -> None:
        """Drops everything."""
        self.discard([*self._inside])

    @property
    def has_work(self) -> bool:
        """Whether anything is inside."""
        return bool(self._inside)

    def step(self) -> list[Result]:
        """Begins the next step of everything that runs, and reads the one before."""
        self._results = []
        with torch.inference_mode():
            try:
                flight = self._launch(self._admit())
            except torch.AcceleratorError:
                raise  # the device itself has failed: nothing can be computed in this process any more
            except Exception as error:
                flight = None
                self._land()
                self._recover(error)
            self._land()
            self._flight = flight
        self._rest()
        return self._results

    # Coming in.

    def _admit(self) -> list[Request]:
        if not self._program.pages.is_allocated and self.scheduler.num_waiting:
            self._allocate()
        entered = self.scheduler.admit()
        first = self.scheduler.next_waiting
        if first is not None and not self.scheduler.running:  # the pages that could be had are too few
            self._settle(first, OutOfMemory())
        return entered

    def _allocate(self) -> None:
        """Makes the pages, fewer where the memory is short."""
        num_pages = self.scheduler.limits.num_pages
        while True:
            try:
                self._program.pages.allocate(num_pages)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                release_cached_memory()
                num_pages //= 2
                if num_pages < 2:
                    raise
            else:
                self._seats.resize(num_pages)
                return

    # Going on.

    def _launch(self, entered: list[Request]) -> _Flight | None:
        """Begins a step."""
        chunks, num_prompt = self.scheduler.fill()
        requests = [*self.scheduler.decoding.values()]
        if not requests and not chunks:
            return None
        seats = np.fromiter((request.seat for request in requests), np.int32, len(requests))
        longest = self._seats.longest(seats)
        shape = shape_for(len(requests), num_prompt, self._seats.num_seats, longest=longest)
        self.runner.prepare(shape)
        self._stage(shape, seats, chunks, entered)
        self.runner.run(shape)
        chosen, event = self._program.state.receive(len(requests))
        self._count(shape, len(requests), chunks)
        for request in requests:
            request.num_launched += 1
            if request.num_launched == request.max_new_tokens:  # its seat is free, its last token on the way
                self.scheduler.leave(request)
        return _Flight(requests, chosen, event)

    def _stage(self, shape: Shape, seats: Ints, chunks: list[Chunk], entered: Iterable[Request]) -> None:
        state = self._program.state
        nobody = self._seats.num_seats
        inbox = state.host_inbox()
        stage_rows(inbox, shape, seats, self._seats.advance(seats), nobody)
        if chunks:
            stage_chunks(inbox, shape, chunks, nobody)
        end = first_record = 2 * nobody + shape.prompt_ints
        for request in entered:
            inbox[end] = request.seat
            record = inbox[end + 1 : end + 1 + state.columns]
            stage_record(record, request, self._seats.table(request.seat))
            end += 1 + state.columns
        state.send(end, first_record)

    def _count(self, shape: Shape, num_rows: int, chunks: Iterable[Chunk]) -> None:
        useful = num_rows + sum(chunk.num_tokens for chunk in chunks)
        self.counters["steps"] += 1
        self.counters["live_rows"] += num_rows
        self.counters["useful_tokens"] += useful
        self.counters["padded_tokens"] += shape.num_tokens
        self._num_good += 1
        if self._num_good >= _RECOVER_AFTER and self.scheduler.max_running < self._seats.num_seats:
            self.scheduler.max_running *= 2
            self._num_good = 0

    # Going out.

    def _land(self) -> None:
        """Reads the tokens of the step before."""
        flight, self._flight = self._flight, None
        if flight is None:
            return
        if flight.event is not None:
            flight.event.synchronize()
        stopping: dict[int, list[Request]] = {}  # by what stops them
        for request, said in zip(flight.requests, flight.chosen.tolist(), strict=True):
            if request.is_gone or said == NOTHING:
                continue
            if said == NOT_FINITE:
                self._settle(request, NotFinite())
                continue
            request.new_tokens.append(said if said >= 0 else -1 - said)
            if said < 0:
                self._finish(request)
            elif request.stop is not None:
                stopping.setdefault(id(request.stop), []).append(request)
        for requests in stopping.values():
            for request in _stopped(requests):
                self._finish(request)

    def _finish(self, request: Request) -> None:
        tokens = request.new_tokens
        is_stopped = tokens[-1] in request.sampling.end_ids
        provenance = _DRAWN if request.sampling.temperature else {}
        self._settle(request, Decoded(sequences=[tokens], is_stopped=[is_stopped], provenance=provenance))

    def _settle(self, request: Request, result: Decoded | DocumentError) -> None:
        request.is_gone = True
        del self._inside[request.key]
        if request.key in self.scheduler.running:
            self.scheduler.leave(request)
        elif request.seat < 0 and request.num_launched == 0:
            self.scheduler.discard([request.key])
        self._results.append((request.key, result))

    def _recover(self, error: Exception) -> None:
        """After a step that raised: fewer at a time, from their beginnings; alone, one has failed."""
        first = self.scheduler.next_waiting
        running = list(self.scheduler.running.values()) or ([first] if first is not None else [])
        logger.warning(
            "step failed",
            extra={
                "action": "step_failed",
                "num_documents": len(running),
                "reason": f"{type(error).__name__}: {error}",
            },
        )
        self._num_good = 0
        if is_out_of_memory(error):
            self.runner.release()
            release_cached_memory()
        if len(running) == 1:
            self._settle(running[0], _told(error))
            self.scheduler.max_running = self._seats.num_seats
            return
        self.scheduler.max_running = max(1, len(running) // 2)
        for request in running:
            self.scheduler.leave(request)
            request.begin_again()
            self.scheduler.add(request)

    def _rest(self) -> None:
        """A model that waits for work keeps its weights, and no pages."""
        if not self._inside and self._program.pages.is_allocated:
            if self._flight is not None and self._flight.event is not None:
                self._flight.event.synchronize()  # the device may still be writing into them
            self._flight = None
            self._program.pages.release()


def _stopped(requests: list[Request]) -> list[Request]:
    """Those whose text ends in a stop string that they share; only its last tokens are looked at."""
    stop: StopStrings = requests[0].stop
    num_last = stop.maximum_token_len
    ends = [
        [*request.input_ids[-num_last:].tolist(), *request.new_tokens[-num_last:]] for request in requests
    ]
    hits = end_in_stop(stop, ends)
    return [request for request, is_hit in zip(requests, hits, strict=True) if is_hit]


def _told(error: Exception) -> DocumentError:
    if is_out_of_memory(error):
        return OutOfMemory()
    if isinstance(error, DocumentError):
        return error
    return DocumentError(f"the model raised {type(error).__name__}: {error}")
