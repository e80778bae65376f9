"""Decoder-only models: the engine, and transformers' continuous batching."""

from __future__ import annotations

import dataclasses
import gc
import time
from collections.abc import Iterator
from typing import Any

import torch

from benchmarks import continuous
from benchmarks.gpu import roofline
from benchmarks.gpu.measured import Measured, by_core
from benchmarks.gpu.roofline import Ceilings
from benchmarks.workload import Workload
from models.decoding.factory import paged_core
from models.decoding.proving.probe import prove
from models.decoding.scheduling.scheduler import Limits
from models.proving.reference import Reference

SAMPLED = {"do_sample": True, "temperature": 0.8, "top_k": 50, "top_p": 0.95}
_GREEDY = {"do_sample": False}


def ours(work: Workload, ceilings: Ceilings, limits: Limits | None) -> Iterator[Measured]:
    """The engine: as it starts, warm, and with every row sampled.

    Raises:
        RuntimeError: it does not serve the model, or a document came back with another number of tokens.
    """
    begun = time.perf_counter()
    core, verdict = paged_core(work.loaded, Reference(work.loaded), limits, proof=prove)
    if core is None:
        raise RuntimeError(f"the engine does not serve {work.name}: {verdict.why}")
    start = time.perf_counter() - begun
    facts = {"start_seconds": start, "longest_document": core.scheduler.limits.max_entries}
    ways: dict[str, dict[str, Any]] = {"first run": _GREEDY, "warm": _GREEDY, "all sampled": SAMPLED}
    yield from by_core(core, work, ways, roofline.of_decoder(work, ceilings), facts)


def continuous_batching(work: Workload, documents: int) -> Measured:
    """What transformers itself makes of the first of the documents."""
    some = dataclasses.replace(work, rows=work.rows[:documents])
    took = continuous.decode(some)
    gc.collect()
    if work.plain.device.type == "cuda":
        torch.cuda.empty_cache()
    facts = {"seconds": took, "documents": len(some.rows)}
    return Measured("transformers, continuous", some.useful_tokens / took, facts)
