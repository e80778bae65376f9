"""One step of all rows, as a function of the batch state: eager, or captured once for each shape."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch

from models.decoding.attention.interface import AttentionBackend, Step
from models.decoding.grammars.masks import StepMasks
from models.decoding.passes.forward import Forward
from models.decoding.passes.graphs import captured
from models.decoding.sampling.group_lane import GroupLane
from models.decoding.sampling.interface import Sampler
from models.decoding.sampling.slow_lane import SlowLane, SlowRows
from models.decoding.scheduling.layout import Shape
from models.decoding.tensors.group_state import GroupState
from models.decoding.tensors.kv_pages import KVPages
from models.decoding.tensors.state import BatchState
from models.memory import is_out_of_memory, release_cached_memory

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Program:
    """From the inbox to chosen tokens, without a word from the host."""

    forward: Forward
    attention: AttentionBackend
    sampler: Sampler
    state: BatchState
    pages: KVPages

    def run(self, shape: Shape, slow: SlowRows = (), masks: StepMasks | None = None) -> None:
        """Computes a step; the model must be made ours (`Forward.made_ours`)."""
        state = self.state
        if masks is not None:
            masks.begin()
        self.attention.begin(state, shape)
        step = Step(self.attention, state, self.pages, shape)
        tokens = slice(shape.num_tokens)
        scores = self.forward.scores(state.token_ids[tokens], state.positions[tokens], step, shape.num_rows)
        if masks is not None:
            masks.put(scores)
        self.sampler_beside(slow).choose(state, shape, scores)

    def sampler_beside(self, slow: SlowRows) -> Sampler:
        """The sampler of a step; `slow` are the rows whose tokens it cannot choose."""
        if not slow:
            return self.sampler
        lane = GroupLane if isinstance(self.state, GroupState) else SlowLane
        return lane(self.sampler, slow)


class StepRunner(Protocol):
    """Runs steps."""

    @property
    def is_ahead(self) -> bool:
        """Whether the host may begin a step before it has read the one before."""
        ...

    @property
    def is_captured(self) -> bool:
        """Whether steps are CUDA graphs."""
        ...

    def capture_ahead(self, shapes: Iterable[Shape], *, within_seconds: float) -> None:
        """Prepares steps of these shapes, in this order, for so long."""
        ...

    def prepare(self, shape: Shape) -> None:
        """Makes sure that a step of this shape can run; may overwrite the inbox."""
        ...

    def run(self, shape: Shape, slow: SlowRows = (), masks: StepMasks | None = None) -> None:
        """Runs what the inbox asks for.

        Args:
            shape: of the step.
            slow: rows whose tokens the sampler cannot choose.
            masks: of rows that keep to grammars.
        """
        ...

    def release(self) -> None:
        """Gives back the memory of whatever can be made again; pages may come and go without it."""
        ...


class EagerSteps:
    """Operator by operator, as torch does."""

    is_captured = False

    def __init__(self, program: Program, *, is_ahead: bool = False) -> None:
        self._program = program
        self.is_ahead = is_ahead

    def capture_ahead(self, shapes: Iterable[Shape], *, within_seconds: float) -> None:
        """Nothing is needed."""

    def prepare(self, shape: Shape) -> None:
        """Nothing is needed."""

    def run(self, shape: Shape, slow: SlowRows = (), masks: StepMasks | None = None) -> None:
        """As the interface says."""
        with self._program.forward.made_ours():
            self._program.run(shape, slow, masks)

    def release(self) -> None:
        """Nothing is kept."""


class CapturedSteps:
    """CUDA graphs, captured when a shape is first needed and replayed from then on.

    They read from `KVPages.places` where the pages are, so that they stay while pages come and go.
    """

    is_ahead = is_captured = True

    def __init__(self, program: Program) -> None:
        self._program = program
        self._graphs: dict[Shape, torch.cuda.CUDAGraph] = {}
        self._stream = torch.cuda.Stream(program.state.device)
        self._pool: Any = None

    def capture_ahead(self, shapes: Iterable[Shape], *, within_seconds: float) -> None:
        """As the interface says; where the memory has no room for it, nothing is captured."""
        begun = time.monotonic()
        self._program.pages.allocate(1)  # nobody's: nobody sits in these steps
        try:
            for shape in shapes:
                if time.monotonic() - begun > within_seconds:
                    break
                self.prepare(shape)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self.release()
            release_cached_memory()
        finally:
            self._program.pages.release()
        facts = {"num_graphs": self.num_graphs, "seconds": round(time.monotonic() - begun, 2)}
        logger.info("graphs captured", extra={"action": "graphs_captured", **facts})

    @property
    def num_graphs(self) -> int:
        """Shapes that need no capture."""
        return len(self._graphs)

    def prepare(self, shape: Shape) -> None:
        """As the interface says."""
        if shape in self._graphs:
            return
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        self._program.state.vacate(shape)
        with self._program.forward.made_ours():
            run = partial(self._program.run, shape)  # with nobody in it
            self._graphs[shape] = captured(run, self._stream, self._pool)
        torch.cuda.synchronize()

    def run(self, shape: Shape, slow: SlowRows = (), masks: StepMasks | None = None) -> None:
        """As the interface says."""
        if not slow and masks is None:
            self._graphs[shape].replay()
            return
        with self._program.forward.made_ours():
            self._program.run(shape, slow, masks)

    def release(self) -> None:
        """As the interface says."""
        self._graphs.clear()
        self._pool = None


def steps_on_cuda(program: Program, shapes: Iterable[Shape], *, within_seconds: float) -> StepRunner:
    """Graphs of these shapes, as far as the time goes; operator by operator where a model cannot be captured.

    A model whose code reads numbers on the host, as some do that choose experts, is right all the same.
    """
    steps = CapturedSteps(program)
    try:
        steps.capture_ahead(shapes, within_seconds=within_seconds)
    except Exception as error:
        torch.cuda.synchronize()  # raises if the device itself has failed
        logger.warning("steps are not captured", extra={"action": "eager_steps", "reason": str(error)})
        return EagerSteps(program, is_ahead=True)
    return steps
