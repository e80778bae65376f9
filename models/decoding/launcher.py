"""Begins the next step of everything that runs: its shape, its inbox, its program."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from models.decoding.flight import Flight, RowFlight
from models.decoding.grammars.masks import StepMasks
from models.decoding.passes.steps import Program, StepRunner
from models.decoding.scheduling.layout import Shape, shape_for
from models.decoding.scheduling.lineup import Lineup
from models.decoding.scheduling.pages import PAGE_TOKENS
from models.decoding.scheduling.request import Request
from models.decoding.scheduling.scheduler import Chunk, Scheduler
from models.decoding.scheduling.seats import Ints, Seats
from models.decoding.scheduling.staging import num_blocks_of, stage_chunks, stage_record, stage_rows
from models.decoding.scheduling.transcript import Transcript


class Launcher:
    """Knows what the host must tell a step."""

    def __init__(self, program: Program, runner: StepRunner, scheduler: Scheduler, seats: Seats) -> None:
        self.counters = {"steps": 0, "live_rows": 0, "padded_tokens": 0, "useful_tokens": 0}
        self._program = program
        self._runner = runner
        self._scheduler = scheduler
        self._seats = seats
        self._transcript = Transcript(seats.num_seats, program.state.most_pages * PAGE_TOKENS + 1)

    def launch(
        self, entered: Sequence[Request], read_before: Callable[[], None] | None = None
    ) -> Flight | None:
        """Begins a step; None if there is nothing to compute.

        Args:
            entered: requests whose rows the state does not hold yet.
            read_before: reads the tokens of the step before, for rows that cannot be chosen for without
                them; requests may end by it. None: they are read.
        """
        chunks, num_prompt = self._scheduler.fill()
        lineup = self._scheduler.lineup()
        if not lineup.requests and not chunks:
            return None
        shape = self._shape(lineup, chunks, num_prompt)
        self._runner.prepare(shape)
        self._stage(shape, lineup.seats, chunks, entered)
        masks = StepMasks(lineup.constrained, read_before) if lineup.constrained else None
        try:
            self._runner.run(shape, lineup.slow, masks)
        finally:
            if masks is not None:
                masks.wait()
        self._count(shape, len(lineup.seats), chunks)
        flight = self._flight(lineup, *self._program.state.receive(len(lineup.seats)))
        self._let_go(lineup)
        return flight

    # What another kind of request does otherwise.

    def _shape(self, lineup: Lineup, chunks: Iterable[Chunk], num_prompt: int) -> Shape:
        """What the step is made for."""
        num_rows = len(lineup.seats)
        if self._scheduler.limits.is_exact:
            return Shape(num_rows, num_prompt, own_blocks=sum(map(num_blocks_of, chunks)))
        longest = self._seats.longest(lineup.seats)
        return shape_for(num_rows, num_prompt, self._seats.num_seats, longest=longest)

    def _stage_entry(self, inbox: Ints, start: int, request: Request) -> int:
        """Writes the row of a request that enters; where the next one begins."""
        end = start + 1 + self._program.state.columns
        inbox[start] = request.seat
        stage_record(inbox[start + 1 : end], request, self._seats.table(request.seat))
        return end

    def _flight(self, lineup: Lineup, chosen: Tensor, event: torch.cuda.Event | None) -> Flight:
        """What is on its way; `chosen` as `BatchState.receive` gives it."""
        return RowFlight(lineup, chosen, event, self._seats.places(lineup.seats), self._transcript)

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

    def _let_go(self, lineup: Lineup) -> None:
        """Whose limit is reached leaves: the seat is free, the last token on its way."""
        for row in self._seats.full(lineup.seats):
            request = lineup.by_row.get(row)  # of a group, the first row
            if request is not None and not request.is_gone:
                request.is_complete = True
                self._scheduler.leave(request)

    def _count(self, shape: Shape, num_rows: int, chunks: Iterable[Chunk]) -> None:
        useful = num_rows + sum(chunk.num_tokens for chunk in chunks)
        self.counters["steps"] += 1
        self.counters["live_rows"] += num_rows
        self.counters["useful_tokens"] += useful
        self.counters["padded_tokens"] += shape.num_tokens
