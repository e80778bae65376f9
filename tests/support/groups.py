"""The group core of the decoding engine in front of small models."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping, Sequence
from typing import Any

from models.decoding.factory import Kernels
from models.decoding.group_core import GroupCore
from models.decoding.group_factory import build_group_program, group_core
from models.decoding.parameters.prompt import Prompt, PromptMaker
from models.decoding.passes.arrangement import Layout
from models.decoding.passes.positions import adapt_positions
from models.decoding.passes.steps import EagerSteps, Program
from models.decoding.scheduling.scheduler import Limits
from models.loading.registry import LoadedModel
from tests.support.tiny_models import WORDS

#: Small enough that groups wait, prompts are cut into chunks, and seats and pages are taken again.
TIGHT = Limits(max_rows=12, num_pages=61, max_entries=128, chunk_sizes=(8, 24), max_begun=4)
MOST_SOURCE = 64

#: How an architecture's tokens are laid out where it is no row each.
PACKED = frozenset({"bart"})

BEAMS: tuple[dict[str, Any], ...] = (
    {"num_beams": 2},
    {"num_beams": 2, "min_new_tokens": 4, "length_penalty": -0.5},
    {"num_beams": 3, "length_penalty": 0.5, "early_stopping": True},
    {"num_beams": 4},
    {"num_beams": 4, "num_return_sequences": 3},
    {"num_beams": 5, "early_stopping": "never", "length_penalty": 2.0},
)


#: What cores are made for when a test does not say it.
kernels: Kernels = "reference"


def layout_of(name: str) -> Layout:
    """Of a small model."""
    return Layout.PACKED if name in PACKED else Layout.ROWS


def make_group_core(
    loaded: LoadedModel, limits: Limits = TIGHT, *, layout: Layout = Layout.ROWS, by: Kernels | None = None
) -> tuple[GroupCore, Program]:
    """The core, and its program for tests that look at its memory."""
    by = by or kernels
    adapt_positions(loaded.model)
    limits = dataclasses.replace(limits, is_exact=by == "cpu")
    program = build_group_program(loaded, limits, by=by, layout=layout, most_source=MOST_SOURCE)
    is_ahead = by != "cpu"  # as on a GPU
    return group_core(loaded, program, EagerSteps(program, is_ahead=is_ahead), limits), program


def prompts_of(
    loaded: LoadedModel,
    count: int,
    *,
    seed: int,
    ways: Sequence[Mapping[str, Any]] = BEAMS,
    longest: int = 20,
) -> list[Prompt]:
    """Texts of random length, with parameters of every kind of these."""
    draw = random.Random(seed)
    maker = PromptMaker(loaded)
    prompts = []
    for _ in range(count):
        params = dict(draw.choice(ways))
        ids = loaded.tokenizer(" ".join(draw.choices(WORDS, k=draw.randint(1, longest))))["input_ids"]
        most = draw.randint(params.get("min_new_tokens", 1), 14)
        prompts.append(maker.make(ids[:MOST_SOURCE], params, max_new_tokens=most))
    return prompts
