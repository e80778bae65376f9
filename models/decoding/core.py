"""The decoding core, second design: admit, launch, land. One `step` is one step of the device.

On a device that computes beside the host, the host is a step behind: while a step is computed,
the tokens of the one before are read. What ends by its length is known before it is seen; what
ends by a token is left alone by the device at once, and by the host a step later.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence

import numpy as np
import torch

from models.decoding.flight import Flight
from models.decoding.launcher import Launcher
from models.decoding.parameters.columns import SamplingMaker
from models.decoding.parameters.prompt import Decoded, Prompt
from models.decoding.passes.steps import Program, StepRunner
from models.decoding.recovery import Recovery, told
from models.decoding.scheduling.pages import num_pages_for
from models.decoding.scheduling.request import Request
from models.decoding.scheduling.scheduler import Limits, Scheduler
from models.decoding.scheduling.seats import Seats
from models.errors import DocumentError, OutOfMemory
from models.memory import is_out_of_memory, release_cached_memory

Result = tuple[Hashable, Decoded | DocumentError]


class _NotRead(Exception):
    """A step must not go on, because the tokens of the one before could not be read."""


class PagedCore:
    """Continuous decoding of decoder-only models."""

    def __init__(
        self,
        program: Program,
        runner: StepRunner,
        limits: Limits,
        sampling: SamplingMaker | None,
        *,
        seats: Seats | None = None,
        launcher: type[Launcher] = Launcher,
    ) -> None:
        """Sets up.

        Args:
            program: the step.
            runner: how steps run.
            limits: of the device.
            sampling: what prompts ask for; None where a kind of core finds that out by itself.
            seats: if requests are seated in another way.
            launcher: if steps begin in another way.
        """
        self.runner = runner
        self._program = program
        self._sampling = sampling
        self._seats = seats or Seats(limits.max_rows, program.state.most_pages, limits.num_pages)
        self.scheduler = Scheduler(limits, self._seats)
        self._launcher = launcher(program, runner, self.scheduler, self._seats)
        self._recovery = Recovery(self.scheduler, limits.max_rows)
        self._inside: dict[Hashable, Request] = {}
        self._flight: Flight | None = None
        self._results: list[Result] = []

    # The interface.

    @property
    def counters(self) -> dict[str, int]:
        """Steps, rows and tokens so far."""
        return self._launcher.counters

    def serves(self, prompt: Prompt) -> bool:
        """Whether a prompt's parameters and length are served here."""
        assert self._sampling is not None, "a core without it says by itself whom it serves"
        num_entries = len(prompt.input_ids) - 1 + prompt.max_new_tokens
        limits = self.scheduler.limits
        fits = num_entries <= limits.max_entries and num_pages_for(num_entries) < limits.num_pages
        return fits and self._sampling.serves(prompt)

    def add(self, key: Hashable, prompt: Prompt, *, priority: float) -> None:
        """Queues a prompt that is served here; the key is not inside yet."""
        assert self._sampling is not None, "a core without it makes requests by itself"
        choice = self._sampling.make(prompt)
        self.add_request(
            Request(
                key=key,
                input_ids=np.asarray(prompt.input_ids, np.int32),
                max_new_tokens=prompt.max_new_tokens,
                sampling=choice.sampling,
                stop=choice.stop,
                slow=choice.slow,
                constraint=choice.constraint,
                seed=prompt.seed or 0,
                priority=priority,
                provenance=self._program.sampler.provenance if choice.sampling.temperature else {},
                is_read_early=prompt.is_read_early,
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

    def so_far(self, key: Hashable) -> Sequence[int]:
        """The new tokens of a request that is read early; fewer than before while it begins again."""
        request = self._inside.get(key)
        return request.new_tokens if request is not None else ()

    @property
    def has_work(self) -> bool:
        """Whether anything is inside."""
        return bool(self._inside)

    def step(self) -> list[Result]:
        """Begins the next step of everything that runs, and reads the one before."""
        self._results = []
        with torch.inference_mode():
            if self._flight is not None and self._flight.lineup.slow:
                self._land()  # their next token depends on all before it
            try:
                read_before = self._land_or_leave if self._flight is not None else None
                flight = self._launcher.launch(self._admit(), read_before)
                self._recovery.went_well()
            except _NotRead:
                flight = None  # whoever was in the step before begins again; in this one they are nobody
            except torch.AcceleratorError:
                raise  # the device itself has failed: nothing can be computed in this process any more
            except Exception as error:
                flight = None
                if self._land():
                    self._recover(error)
            self._land(flight)
            if not self.runner.is_ahead:
                self._land()
        self._rest()
        return self._results

    # Its verbs.

    def _admit(self) -> list[Request]:
        if not self._program.pages.is_allocated and self.scheduler.num_waiting:
            self._seats.resize(self._program.pages.allocate_most(self.scheduler.limits.num_pages))
        entered = self.scheduler.admit()
        first = self.scheduler.next_waiting
        if first is not None and not self.scheduler.running:  # the pages that could be had are too few
            self._settle(first, OutOfMemory())
        return entered

    def _land(self, begun: Flight | None = None) -> bool:
        """Reads the tokens of the step before; whether they could be read.

        Args:
            begun: the step behind it, which is read next. Who is in it begins again if the tokens before
                could not be read: what it says is then nobody's, for a row may have another tenant.
        """
        flight, self._flight = self._flight, begun
        if flight is None:
            return True
        try:
            outcomes = flight.land()
        except torch.AcceleratorError:
            raise
        except Exception as error:
            self._flight = None
            lost = [request for each in (flight, begun) if each for request in each.lineup.requests]
            self._recover(error, [request for request in dict.fromkeys(lost) if not request.is_gone])
            return False
        for request, result in outcomes:
            self._settle(request, result)
        return True

    def _land_or_leave(self) -> None:
        """Reads the tokens of the step before while the next is under way.

        Raises:
            _NotRead: they could not be read.
        """
        if not self._land():
            raise _NotRead

    def _settle(self, request: Request, result: Decoded | DocumentError) -> None:
        request.is_gone = True
        del self._inside[request.key]
        if request.key in self.scheduler.running:
            self.scheduler.leave(request)
        elif not request.is_complete:
            self.scheduler.discard([request.key])
        self._results.append((request.key, result))

    def _recover(self, error: Exception, lost: Sequence[Request] = ()) -> None:
        """After a step that raised: fewer at a time, from their beginnings; alone, one has failed.

        Args:
            error: what was raised.
            lost: requests whose tokens could not be read.
        """
        if is_out_of_memory(error):
            self.runner.release()
            release_cached_memory()
        at_fault = self._recovery.after(error, lost)
        if at_fault is not None:
            self._settle(at_fault, told(error))

    def _rest(self) -> None:
        """A model that waits for work keeps its weights, and no pages; with little work, few pages."""
        if self._inside:
            if self._seats.pages.has_fallen:
                self._program.pages.give_back(self._seats.pages.settle())
        elif self._program.pages.is_allocated:
            if self._flight is not None and self._flight.event is not None:
                self._flight.event.synchronize()  # the device may still be writing into them
            self._flight = None
            self._program.pages.release()
