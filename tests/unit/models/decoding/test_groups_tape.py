"""Steps of groups as a graph would keep them: every step of a shape is the same program."""

from __future__ import annotations

import pytest

from models.decoding.group_factory import build_group_program, group_core
from models.decoding.parameters.prompt import Decoded
from models.decoding.passes.positions import adapt_positions
from tests.support.groups import BEAMS, MOST_SOURCE, TIGHT, layout_of, prompts_of
from tests.support.tape import TapedSteps, expect_repeats
from tests.support.tiny_models import Loader


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("generation", "gpt2"),
        ("generation", "llama"),
        ("generation", "mistral"),
        ("translation", "marian"),
        ("translation", "t5"),
        ("translation", "bart"),
        ("translation", "nllb"),
    ],
)
def test_every_step_of_a_shape_dispatches_the_same_operators_on_the_same_addresses(
    task: str, name: str, loaded: Loader
) -> None:
    model = loaded(task, name)
    adapt_positions(model.model)
    program = build_group_program(
        model, TIGHT, by="reference", layout=layout_of(name), most_source=MOST_SOURCE
    )
    steps = TapedSteps(program)
    core = group_core(model, program, steps, TIGHT)
    for number, prompt in enumerate(prompts_of(model, 12, seed=3, ways=BEAMS)):
        core.add(number, prompt, priority=6)
    results = {}
    while core.has_work:
        results |= dict(core.step())
    assert all(isinstance(result, Decoded) for result in results.values())
    assert len(results) == 12
    expect_repeats(steps)
