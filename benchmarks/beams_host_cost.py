"""What the host does in a step of beam search, where the model costs nothing.

    python -m benchmarks.beams_host_cost [--documents 64] [--beams 4]

A step is handed to a device that answers at once, and what it says is read. Microseconds of the
processor's time a step, the best of a few rounds. `python -m benchmarks.host --against` says what
share that is of another commit's, with the choice of beams in it.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from typing import Any

import torch

from benchmarks.workload import tiny
from models.decoding.group_core import GroupCore
from models.decoding.group_factory import build_group_program, group_core
from models.decoding.parameters.prompt import Prompt
from models.decoding.scheduling import group_layout
from models.decoding.scheduling.group_layout import SAID_DONE, SAID_LENGTH, SAID_PARENT, SAID_TOKEN
from models.decoding.scheduling.layout import Shape
from models.decoding.scheduling.scheduler import Limits
from models.decoding.tensors.group_state import GroupState
from models.loading.device import prepare_device
from models.loading.registry import LoadedModel

_ROUNDS = 5
_NEW_TOKENS = 40
_WARM = 8  # steps in which documents begin


def main() -> None:
    """Measures and prints a JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=64)
    parser.add_argument("--beams", type=int, default=4)
    options = parser.parse_args()
    cost = measure(options.documents, options.beams)
    print(f"{cost:.0f} us a step")
    print(json.dumps({"benchmark": "beams_host_cost", **vars(options), "us": cost}))


def measure(documents: int, beams: int) -> float:
    """Microseconds a step."""
    loaded = tiny(prepare_device("cpu", num_threads=1), "float32").loaded
    with torch.inference_mode():
        return min(_round(_core(loaded, documents * beams), documents, beams) for _ in range(_ROUNDS))


def _round(core: GroupCore, documents: int, beams: int) -> float:
    params = {"num_beams": beams, "min_new_tokens": _NEW_TOKENS, "do_sample": False}
    for number in range(documents):
        prompt = Prompt(input_ids=[7], max_new_tokens=_NEW_TOKENS, params=params, num_rows=beams)
        core.add(number, prompt, priority=6)
    for _ in range(_WARM):
        core.step()
    begun, steps = time.process_time(), 0
    while core.has_work:
        core.step()
        steps += 1
    return (time.process_time() - begun) / steps * 1e6


def _core(loaded: LoadedModel, rows: int) -> GroupCore:
    limits = Limits(max_rows=rows * 8 // 7 + 1, num_pages=rows * 8, max_entries=64, chunk_sizes=(256,))
    program = build_group_program(loaded, limits, by="reference")
    assert isinstance(program.state, GroupState)
    return group_core(loaded, program, _AtOnce(program.state), limits)


class _AtOnce:
    """A device on which a step takes no time: all documents began together, and end by their length."""

    is_ahead = True

    def __init__(self, state: GroupState) -> None:
        self._said, self._state, self._length = state.said, state, 0

    def capture_ahead(self, shapes: Iterable[Shape], *, within_seconds: float) -> None:
        """Nothing is needed."""

    def prepare(self, shape: Shape) -> None:
        """Nothing is needed."""

    def run(self, shape: Shape, slow: Any = (), masks: Any = None) -> None:
        """Every beam goes on by itself; at the end each has finished one sequence."""
        self._length += 1
        said = self._said[: shape.num_rows]
        said[:, SAID_TOKEN] = 7
        said[:, SAID_LENGTH] = self._length
        if self._length == 1:
            own = self._state.inbox[: shape.num_rows].long().clamp(max=self._state.num_seats)
            said[:, SAID_PARENT] = self._state.rows[own, self._state.first_column + group_layout.BEAM]
        if self._length == _NEW_TOKENS:
            said[:, SAID_DONE] = (said[:, SAID_PARENT] == 0).int()
            said[:, group_layout.SAID_FINISHED + 1] = _NEW_TOKENS
            said[:, group_layout.SAID_FINISHED + 3] = 7

    def release(self) -> None:
        """Nothing is kept."""


if __name__ == "__main__":
    main()
