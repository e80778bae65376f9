"""What a CUDA graph would bake into it, seen on a CPU: every operator of a step and what it is given.

A graph replays the same operators on the same addresses with the same numbers. So two steps of
one shape must dispatch alike, and nothing may be read on the host in between.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from models.decoding.core import PagedCore
from models.decoding.factory import build_program
from models.decoding.grammars.masks import StepMasks
from models.decoding.parameters.columns import SamplingMaker
from models.decoding.parameters.prompt import Decoded, Prompt
from models.decoding.passes.steps import Program
from models.decoding.sampling.slow_lane import SlowRows
from models.decoding.scheduling.layout import Shape
from models.decoding.tensors.paired_pages import PairedPages
from models.loading.registry import LoadedModel
from tests.support.paged import TIGHT

#: Operators that look at values on the host, or whose result's shape depends on them.
HOST_READS = frozenset({
    "_local_scalar_dense", "item", "nonzero", "is_nonzero", "equal", "_assert_async", "masked_select",
    "_unique2", "bincount", "lift_fresh",
})  # fmt: skip

Tape = list[tuple[str, tuple[Any, ...]]]


class TapedSteps:
    """Runs steps operator by operator and notes for each shape what was dispatched."""

    is_ahead = True
    is_captured = False

    def __init__(self, program: Program) -> None:
        self.tapes: dict[Shape, list[Tape]] = {}
        self.host_reads: set[str] = set()
        self._program = program

    def capture_ahead(self, shapes: Iterable[Shape], *, within_seconds: float) -> None:
        """Nothing is needed."""

    def prepare(self, shape: Shape) -> None:
        """Nothing is needed."""

    def run(self, shape: Shape, slow: SlowRows = (), masks: StepMasks | None = None) -> None:
        """Runs and notes."""
        program = self._program
        lasting = addresses([
            *vars(program.state).values(), *program.pages.keys, *program.pages.values,
            *program.forward.model.parameters(), *program.forward.model.buffers(),
            *_of_sources(program),
        ])  # fmt: skip
        recorder = Recorder(lasting)
        with program.forward.made_ours(), recorder:
            program.run(shape, slow, masks)
        self.tapes.setdefault(shape, []).append(recorder.tape)
        self.host_reads |= recorder.host_reads

    def release(self) -> None:
        """Addresses are about to change."""


class Recorder(TorchDispatchMode):
    """Notes every operator; `lasting` are the addresses that outlive a step."""

    def __init__(self, lasting: set[int]) -> None:
        super().__init__()
        self.tape: Tape = []
        self.host_reads: set[str] = set()
        self._lasting = lasting

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = function.overloadpacket.__name__
        flat, _ = tree_flatten((args, kwargs or {}))
        if name in HOST_READS or (name in ("index", "index_put_") and any(map(_is_mask, flat[1:]))):
            self.host_reads.add(name)
        self.tape.append((name, tuple(self._seen(each) for each in flat)))
        return function(*args, **(kwargs or {}))

    def _seen(self, value: Any) -> Any:
        if not isinstance(value, Tensor):
            return repr(value)
        address = value.untyped_storage().data_ptr()
        place = (address, value.storage_offset()) if address in self._lasting else "of this step"
        return (place, tuple(value.shape), value.stride(), value.dtype)


def _is_mask(value: Any) -> bool:
    return isinstance(value, Tensor) and value.dtype == torch.bool


def _of_sources(program: Program) -> list[Tensor]:
    pages = program.pages
    return [*pages.source.keys, *pages.source.values] if isinstance(pages, PairedPages) else []


def addresses(values: Iterable[Any]) -> set[int]:
    """Where the memory of tensors begins; what is no tensor is left out."""
    return {value.untyped_storage().data_ptr() for value in values if isinstance(value, Tensor)}


def expect_one_program_for_each_shape(model: LoadedModel) -> None:
    """Twelve documents decode; steps of a shape dispatch the same, and none reads on the host."""
    program = build_program(model, TIGHT, by="reference")
    steps = TapedSteps(program)
    core = PagedCore(program, steps, TIGHT, SamplingMaker(model))
    for number in range(12):
        params = {"do_sample": number % 2 == 1, "min_new_tokens": number % 5}
        ids = [5 + (number * 7 + place) % 60 for place in range(1 + number * 3)]
        core.add(number, Prompt(input_ids=ids, max_new_tokens=9, params=params, seed=number), priority=6)
    results = {}
    while core.has_work:
        results |= dict(core.step())
    assert all(isinstance(result, Decoded) for result in results.values())
    expect_repeats(steps)


def expect_repeats(steps: TapedSteps) -> None:
    """Several shapes came again, each as the same program, and no step read on the host."""
    assert not steps.host_reads
    repeated = [tapes for tapes in steps.tapes.values() if len(tapes) > 1]
    assert len(repeated) >= 3
    for tapes in repeated:
        for tape in tapes[1:]:
            assert tape == tapes[0]
