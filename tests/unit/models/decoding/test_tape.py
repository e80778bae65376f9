"""What guards the graphs of GPUs without one: every step of a shape is the same program."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.decoding.core import PagedCore
from models.decoding.factory import build_program
from models.decoding.parameters.columns import SamplingMaker
from models.decoding.parameters.prompt import Decoded, Prompt
from models.decoding.passes.steps import CapturedSteps, steps_on_cuda
from models.decoding.scheduling.layout import Shape
from tests.support.paged import TIGHT, make_paged_core
from tests.support.tape import TapedSteps
from tests.support.tiny_models import Loader


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen", "mistral"])
def test_every_step_of_a_shape_dispatches_the_same_operators_on_the_same_addresses(
    name: str, loaded: Loader
) -> None:
    model = loaded("generation", name)
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
    assert not steps.host_reads
    repeated = [tapes for tapes in steps.tapes.values() if len(tapes) > 1]
    assert len(repeated) >= 3
    for tapes in repeated:
        for tape in tapes[1:]:
            assert tape == tapes[0]


def test_a_model_that_cannot_be_captured_runs_operator_by_operator(
    loaded: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its code reads numbers on the host: the worker took the device for lost and ended."""
    _, program = make_paged_core(loaded("generation", "gpt2"), by="reference")

    def refuse(*_: Any) -> None:
        raise RuntimeError("operation not permitted when stream is capturing")

    synchronised: list[bool] = []
    monkeypatch.setattr(torch.cuda, "Stream", lambda _: None)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: synchronised.append(True))
    monkeypatch.setattr(CapturedSteps, "prepare", refuse)
    steps = steps_on_cuda(program, [Shape(1, 0)], within_seconds=5.0)
    assert not steps.is_captured
    assert steps.is_ahead
    assert synchronised
    assert not program.pages.is_allocated
