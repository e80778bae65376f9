"""The decoding engine in front of small models, on the device at hand and by either backend."""

from __future__ import annotations

import dataclasses

import torch

from models.decoding.core import PagedCore
from models.decoding.factory import Kernels, build_program
from models.decoding.parameters.columns import SamplingMaker
from models.decoding.passes.steps import CapturedSteps, EagerSteps, Program
from models.decoding.scheduling.scheduler import Limits
from models.loading.registry import LoadedModel

#: Small enough that requests wait, prompts are cut into chunks, and seats and pages are taken again.
TIGHT = Limits(max_rows=8, num_pages=41, max_entries=128, chunk_sizes=(8, 24), max_begun=4)
HAS_CUDA = torch.cuda.is_available()


#: What cores are made for when a test does not say it.
kernels: Kernels = "reference"


def make_paged_core(
    loaded: LoadedModel, limits: Limits = TIGHT, *, by: Kernels | None = None
) -> tuple[PagedCore, Program]:
    """The engine's core, and its program for tests that look at its memory."""
    by = by or kernels
    limits = dataclasses.replace(limits, is_exact=by == "cpu")
    program = build_program(loaded, limits, by=by)
    is_ahead = by != "cpu"  # as on a GPU
    steps = EagerSteps(program, is_ahead=is_ahead) if loaded.device.is_cpu else CapturedSteps(program)
    return PagedCore(program, steps, limits, SamplingMaker(loaded)), program
