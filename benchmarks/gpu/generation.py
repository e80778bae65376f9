"""Decoder-only models: the engine, transformers' continuous batching, `generate` in sorted batches."""

from __future__ import annotations

import dataclasses
import gc
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks import continuous
from benchmarks.gpu import roofline
from benchmarks.gpu.roofline import Ceilings
from benchmarks.workload import Row, Workload
from models.decoding.core import PagedCore
from models.decoding.factory import paged_core
from models.decoding.parameters.prompt import Decoded, Prompt
from models.decoding.proving.probe import prove
from models.decoding.scheduling.scheduler import Limits
from models.proving.reference import Reference

SAMPLED = {"do_sample": True, "temperature": 0.8, "top_k": 50, "top_p": 0.95}
_GREEDY = {"do_sample": False}
_BATCH = 64


@dataclass(frozen=True)
class Measured:
    """One system on one workload."""

    system: str
    tokens_per_second: float
    facts: Mapping[str, Any]


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
    for name, params in (("first run", _GREEDY), ("warm", _GREEDY), ("all sampled", SAMPLED)):
        before = dict(core.counters)
        took = _decode(core, work, params)
        counted = {key: count - before[key] for key, count in core.counters.items()}
        roof = roofline.tokens_per_second(work, ceilings, counted["steps"])
        facts = {
            "seconds": took,
            "steps": counted["steps"],
            "rows_per_step": counted["live_rows"] / counted["steps"],
            "of_roofline": work.useful_tokens / took / roof,
            "roofline_tokens_per_second": roof,
            "start_seconds": start,
            "longest_document": core.scheduler.limits.max_entries,
        }
        yield Measured(f"textmill, {name}", work.useful_tokens / took, facts)


def _decode(core: PagedCore, work: Workload, params: Mapping[str, Any]) -> float:
    """Seconds for all rows, submitted at once."""
    roofline.synchronise(work.loaded.device.torch)
    begun = time.perf_counter()
    for key, row in enumerate(work.rows):
        prompt = Prompt(
            input_ids=row.input_ids,
            max_new_tokens=row.new_tokens,
            params=_fixed(params, row.new_tokens),
            seed=key,
        )
        core.add(key, prompt, priority=6)
    missing = {key: row.new_tokens for key, row in enumerate(work.rows)}
    while missing:
        for key, result in core.step():
            if not isinstance(result, Decoded) or len(result.sequences[0]) != missing.pop(key, -1):
                raise RuntimeError(f"document {key}: {result}")
    return time.perf_counter() - begun


def _fixed(params: Mapping[str, Any], new_tokens: int) -> dict[str, Any]:
    """Exactly so many tokens: random weights must not end a document early."""
    return {**params, "min_new_tokens": new_tokens}


def sorted_generate(work: Workload, max_seconds: float) -> Measured:
    """`generate` in batches of like length, the longest first; as many of them as fit the time."""
    work.plain.set_attn_implementation("sdpa")
    rows = sorted(work.rows, key=lambda row: -(len(row.input_ids) + row.new_tokens))
    _generate(work, rows[-_BATCH:], 3)
    roofline.synchronise(work.plain.device)
    begun = time.perf_counter()
    done: list[Row] = []
    for start in range(0, len(rows), _BATCH):
        batch = rows[start : start + _BATCH]
        _generate(work, batch, max(row.new_tokens for row in batch))
        roofline.synchronise(work.plain.device)
        done += batch
        if time.perf_counter() - begun > max_seconds:
            break
    took = time.perf_counter() - begun
    facts = {"seconds": took, "documents": len(done)}
    return Measured(f"generate, {_BATCH}, sorted", sum(row.new_tokens for row in done) / took, facts)


def _generate(work: Workload, rows: list[Row], new_tokens: int) -> None:
    width = max(len(row.input_ids) for row in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for place, row in enumerate(rows):
        ids[place, width - len(row.input_ids) :] = torch.tensor(row.input_ids)
        mask[place, width - len(row.input_ids) :] = 1
    device = work.plain.device
    with torch.inference_mode():
        work.plain.generate(
            ids.to(device), attention_mask=mask.to(device), max_new_tokens=new_tokens,
            min_new_tokens=new_tokens, do_sample=False, pad_token_id=0,
        )  # fmt: skip


def continuous_batching(work: Workload, documents: int) -> Measured:
    """What transformers itself makes of the first of the documents."""
    some = dataclasses.replace(work, rows=work.rows[:documents])
    took = continuous.decode(some)
    gc.collect()
    if work.plain.device.type == "cuda":
        torch.cuda.empty_cache()
    facts = {"seconds": took, "documents": len(some.rows)}
    return Measured("transformers, continuous", some.useful_tokens / took, facts)
