"""Begins the next step of everything that runs: its shape, its inbox, its program."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from models.decoding.flight import Flight
from models.decoding.passes.steps import Program, StepRunner
from models.decoding.sampling.slow_lane import SlowRows
from models.decoding.scheduling.layout import Shape, shape_for
from models.decoding.scheduling.request import Request
from models.decoding.scheduling.scheduler import Chunk, Scheduler
from models.decoding.scheduling.seats import Ints, Seats
from models.decoding.scheduling.staging import num_blocks_of, stage_chunks, stage_record, stage_rows


class Launcher:
    """Knows what the host must tell a step."""

    def __init__(self, program: Program, runner: StepRunner, scheduler: Scheduler, seats: Seats) -> None:
        self.counters = {"steps": 0, "live_rows": 0, "padded_tokens": 0, "useful_tokens": 0}
        self._program = program
        self._runner = runner
        self._scheduler = scheduler
        self._seats = seats

    def launch(self, entered: Sequence[Request]) -> Flight | None:
        """Begins a step; None if there is nothing to compute.

        Args:
            entered: requests whose rows the state does not hold yet.
        """
        chunks, num_prompt = self._scheduler.fill()
        requests = [*self._scheduler.decoding.values()]
        if not requests and not chunks:
            return None
        seats = self._rows(requests)
        shape = self._shape(requests, seats, chunks, num_prompt)
        self._runner.prepare(shape)
        self._stage(shape, seats, chunks, entered)
        self._runner.run(shape, self._slow_rows(requests))
        chosen, event = self._program.state.receive(len(seats))
        self._count(shape, len(seats), chunks)
        for request in requests:
            request.num_launched += 1
            if request.num_launched == request.max_new_tokens:  # its seat is free, its last token on the way
                self._scheduler.leave(request)
        return self._flight(requests, seats, chosen, event)

    # What another kind of request does otherwise.

    def _rows(self, requests: list[Request]) -> Ints:
        """The seats of everybody who decodes."""
        return np.fromiter((request.seat for request in requests), np.int32, len(requests))

    def _slow_rows(self, requests: list[Request]) -> SlowRows:
        """Those whose tokens the sampler does not choose, each with the place of its first row."""
        return [each for each in enumerate(requests) if each[1].slow is not None]

    def _shape(self, requests: list[Request], seats: Ints, chunks: Iterable[Chunk], num_prompt: int) -> Shape:
        """What the step is made for."""
        if self._scheduler.limits.is_exact:
            return Shape(len(seats), num_prompt, own_blocks=sum(map(num_blocks_of, chunks)))
        longest = self._seats.longest(seats)
        return shape_for(len(seats), num_prompt, self._seats.num_seats, longest=longest)

    def _stage_entry(self, inbox: Ints, start: int, request: Request) -> int:
        """Writes the row of a request that enters; where the next one begins."""
        end = start + 1 + self._program.state.columns
        inbox[start] = request.seat
        stage_record(inbox[start + 1 : end], request, self._seats.table(request.seat))
        return end

    def _flight(
        self, requests: list[Request], seats: Ints, chosen: Tensor, event: torch.cuda.Event | None
    ) -> Flight:
        """What is on its way; `chosen` as `BatchState.receive` gives it."""
        return Flight(requests, chosen, event)

    # What is the same for all.

    def _stage(self, shape: Shape, seats: Ints, chunks: list[Chunk], entered: Iterable[Request]) -> None:
        state = self._program.state
        nobody = self._seats.num_seats
        inbox = state.host_inbox()
        stage_rows(inbox, shape, seats, self._seats.advance(seats), nobody)
        if chunks:
            stage_chunks(inbox, shape, chunks, nobody)
        end = first_record = 2 * nobody + shape.prompt_ints
        for request in entered:
            end = self._stage_entry(inbox, end, request)
        state.send(end, first_record)

    def _count(self, shape: Shape, num_rows: int, chunks: Iterable[Chunk]) -> None:
        useful = num_rows + sum(chunk.num_tokens for chunk in chunks)
        self.counters["steps"] += 1
        self.counters["live_rows"] += num_rows
        self.counters["useful_tokens"] += useful
        self.counters["padded_tokens"] += shape.num_tokens
