"""What guards the graphs of GPUs without one: every step of a shape is the same program."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.decoding.passes.steps import CapturedSteps, steps_on_cuda
from models.decoding.scheduling.layout import Shape
from tests.support.paged import make_paged_core
from tests.support.tape import expect_one_program_for_each_shape
from tests.support.tiny_models import Loader


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen", "mistral"])
def test_every_step_of_a_shape_dispatches_the_same_operators_on_the_same_addresses(
    name: str, loaded: Loader
) -> None:
    expect_one_program_for_each_shape(loaded("generation", name))


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
