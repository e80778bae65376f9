"""What the host does in a step of beam search, where the model costs nothing.

    python -m benchmarks.beams_host_cost [--documents 64] [--beams 4]

Both engines decode the same documents side by side. The first gets ready scores from a model
that computes nothing and chooses on the host; the second hands a step to a device that answers
at once, and reads what it says. Microseconds of the processor's time a step, the best of a few
rounds in turns.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from benchmarks.workload import tiny
from models.decoding.first import scheduler
from models.decoding.first.causal import CausalCore, CausalForward
from models.decoding.first.core import DecodingCore
from models.decoding.group_core import GroupCore
from models.decoding.group_factory import build_group_program, group_core
from models.decoding.parameters.prompt import Prompt
from models.decoding.passes.arrangement import Layout
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
_AIM = 1 / 5


def main() -> None:
    """Measures both and prints a table and a JSON line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=64)
    parser.add_argument("--beams", type=int, default=4)
    options = parser.parse_args()
    costs = measure(options.documents, options.beams)
    share = costs["second engine"] / costs["first engine"]
    for name, cost in costs.items():
        print(f"{name:<14} {cost:>10.0f} us a step")
    print(f"{'share':<14} {share:>10.3f} (aim: at most {_AIM})")
    print(json.dumps({"benchmark": "beams_host_cost", **vars(options), "us": costs, "share": share}))


def measure(documents: int, beams: int) -> dict[str, float]:
    """Microseconds a step, by engine."""
    loaded = tiny(prepare_device("cpu", num_threads=1), "float32").loaded
    makers: dict[str, Callable[[], Any]] = {
        "first engine": lambda: _first(loaded, documents * beams),
        "second engine": lambda: _second(loaded, documents * beams),
    }
    best = dict.fromkeys(makers, float("inf"))
    with torch.inference_mode():
        for _ in range(_ROUNDS):
            for name, make in makers.items():
                best[name] = min(best[name], _round(make(), documents, beams))
    return best


def _round(core: DecodingCore | GroupCore, documents: int, beams: int) -> float:
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


def _first(loaded: LoadedModel, rows: int) -> DecodingCore:
    forward = CausalForward(loaded, Layout.PACKED)
    vocabulary = int(loaded.model.get_output_embeddings().weight.shape[0])
    forward.model = _Ready(torch.randn(rows, vocabulary))
    limits = scheduler.Limits(max_rows=rows, max_entries=10**6, max_chunk_tokens=1024)
    return CausalCore(loaded, forward, limits)


class _Ready:
    """A model whose scores are there before they are asked for."""

    def __init__(self, scores: Tensor) -> None:
        self._scores = scores

    def __call__(self, *, input_ids: Tensor, **options: Any) -> Any:
        return SimpleNamespace(logits=self._scores[None, : input_ids.shape[1]].clone())


def _second(loaded: LoadedModel, rows: int) -> GroupCore:
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

    def run(self, shape: Shape, slow: Any = ()) -> None:
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
