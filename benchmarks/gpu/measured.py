"""What is measured of a system, and how the engine is: all documents submitted at once."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.gpu import roofline
from benchmarks.workload import Workload
from models.decoding.core import PagedCore
from models.decoding.parameters.prompt import Decoded, Prompt


@dataclass(frozen=True)
class Measured:
    """One system on one workload."""

    system: str
    tokens_per_second: float
    facts: Mapping[str, Any]


def by_core(
    core: PagedCore,
    work: Workload,
    ways: Mapping[str, Mapping[str, Any]],
    roof: roofline.Roof,
    facts: Mapping[str, Any],
) -> Iterator[Measured]:
    """The engine, by parameters of several kinds, one after the other.

    Raises:
        RuntimeError: a document came back with another number of tokens.
    """
    for name, params in ways.items():
        before = dict(core.counters)
        took = _decode(core, work, params)
        counted = {key: count - before[key] for key, count in core.counters.items()}
        most = roof(counted["steps"])
        speed = work.useful_tokens / took
        yield Measured(
            f"textmill, {name}",
            speed,
            {
                "seconds": took,
                "steps": counted["steps"],
                "rows_per_step": counted["live_rows"] / counted["steps"],
                "of_roofline": speed / most,
                "roofline_tokens_per_second": most,
                **facts,
            },
        )


def _decode(core: PagedCore, work: Workload, params: Mapping[str, Any]) -> float:
    """Seconds for all rows."""
    roofline.synchronise(work.loaded.device.torch)
    begun = time.perf_counter()
    for key, row in enumerate(work.rows):
        prompt = Prompt(
            input_ids=row.input_ids,
            max_new_tokens=row.new_tokens,
            # Exactly so many tokens: random weights must not end a document early.
            params={**params, "min_new_tokens": row.new_tokens},
            seed=key,
            num_rows=work.num_beams,
        )
        core.add(key, prompt, priority=6)
    missing = {key: row.new_tokens for key, row in enumerate(work.rows)}
    while missing:
        for key, result in core.step():
            if not isinstance(result, Decoded) or len(result.sequences[0]) != missing.pop(key, -1):
                raise RuntimeError(f"document {key}: {result}")
    return time.perf_counter() - begun
