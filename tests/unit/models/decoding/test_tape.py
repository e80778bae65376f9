"""What guards the graphs of GPUs without one: every step of a shape is the same program."""

from __future__ import annotations

import pytest

from models.decoding.core import PagedCore
from models.decoding.factory import build_program
from models.decoding.parameters.columns import SamplingMaker
from models.decoding.parameters.prompt import Decoded, Prompt
from tests.support.paged import TIGHT
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
