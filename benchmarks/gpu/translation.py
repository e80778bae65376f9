"""Encoder-decoders by the engine, with beams or greedy."""

from __future__ import annotations

import time
from collections.abc import Iterator

from benchmarks.gpu import roofline
from benchmarks.gpu.measured import Measured, by_core
from benchmarks.gpu.roofline import Ceilings
from benchmarks.workload import Workload
from models.decoding.group_factory import grouped_core
from models.decoding.passes.positions import adapt_positions
from models.decoding.scheduling.scheduler import Limits
from models.proving.reference import Reference


def ours(work: Workload, ceilings: Ceilings, limits: Limits | None) -> Iterator[Measured]:
    """The engine: as it starts, and warm.

    Raises:
        RuntimeError: it does not serve the model, or a document came back with another number of tokens.
    """
    begun = time.perf_counter()
    adapt_positions(work.loaded.model)
    core, verdict = grouped_core(work.loaded, Reference(work.loaded), limits)
    if core is None:
        raise RuntimeError(f"the engine does not serve {work.name}: {verdict.why}")
    start = time.perf_counter() - begun
    facts = {"start_seconds": start, "longest_document": core.scheduler.limits.max_entries}
    way = {"do_sample": False, "num_beams": work.num_beams}
    ways = {"first run": way, "warm": way}
    yield from by_core(core, work, ways, roofline.of_encoder_decoder(work, ceilings), facts)
