"""`generate` in batches of like length: what a careful script does, and a baseline."""

from __future__ import annotations

import time
from typing import Any

import torch

from benchmarks.gpu import roofline
from benchmarks.gpu.measured import Measured
from benchmarks.workload import Row, Workload

_ROWS = 64  # of a batch, beams counted


def sorted_generate(work: Workload, max_seconds: float) -> Measured:
    """The longest documents first; as many of them as fit the time."""
    work.plain.set_attn_implementation("sdpa")
    size = max(1, _ROWS // work.num_beams)
    rows = sorted(work.rows, key=lambda row: -(len(row.input_ids) + row.new_tokens))
    _generate(work, rows[-size:], 3)
    roofline.synchronise(work.plain.device)
    begun = time.perf_counter()
    done: list[Row] = []
    for start in range(0, len(rows), size):
        batch = rows[start : start + size]
        _generate(work, batch, max(row.new_tokens for row in batch))
        roofline.synchronise(work.plain.device)
        done += batch
        if time.perf_counter() - begun > max_seconds:
            break
    took = time.perf_counter() - begun
    facts = {"seconds": took, "documents": len(done)}
    return Measured(f"generate, {size}, sorted", sum(row.new_tokens for row in done) / took, facts)


def _generate(work: Workload, rows: list[Row], new_tokens: int) -> None:
    config: Any = work.plain.config
    is_causal = not config.is_encoder_decoder
    pad = 0 if is_causal else int(config.pad_token_id)
    width = max(len(row.input_ids) for row in rows)
    ids = torch.full((len(rows), width), pad)
    mask = torch.zeros_like(ids)
    for place, row in enumerate(rows):
        first = width - len(row.input_ids) if is_causal else 0
        ids[place, first : first + len(row.input_ids)] = torch.tensor(row.input_ids)
        mask[place, first : first + len(row.input_ids)] = 1
    device = work.plain.device
    with torch.inference_mode():
        work.plain.generate(
            ids.to(device), attention_mask=mask.to(device), max_new_tokens=new_tokens,
            min_new_tokens=new_tokens, num_beams=work.num_beams, do_sample=False, pad_token_id=pad,
        )  # fmt: skip
