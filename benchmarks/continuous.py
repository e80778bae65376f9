"""transformers' own continuous batching on the rows of a workload, as a baseline."""

from __future__ import annotations

import time
from typing import Any

from transformers import ContinuousBatchingConfig, GenerationConfig

from benchmarks.workload import Workload

_NO_TOKEN = -1  # random weights must not end a document early
_START_SECONDS = 120.0
# 8,192 tokens in pages of 256, about 32 documents at once: on a CPU it is slower with more, for each
# row is attended to over the keys of all. (128 documents of generation: 144 tokens/s with 32 pages, 142
# with 64, 132 with 128.) Left open, the memory is measured first.
_CACHE_PAGES, _PAGE_TOKENS = 32, 256


def decode(work: Workload) -> float:
    """Decodes every row to exactly its number of new tokens.

    Returns:
        Seconds from the first submission to the last result; starting its thread is not counted.

    Raises:
        RuntimeError: a document came back with another number of tokens, or not at all.
    """
    attention = work.plain.config._attn_implementation
    manager = work.plain.init_continuous_batching(
        generation_config=GenerationConfig(do_sample=False, eos_token_id=_NO_TOKEN, pad_token_id=0),
        continuous_batching_config=_on_cpu() if work.loaded.device.is_cpu else ContinuousBatchingConfig(),
    )
    manager.start()
    try:
        _collect(manager, [manager.add_request(work.rows[0].input_ids, max_new_tokens=2)], [2])  # it is up
        begun = time.perf_counter()
        names = [manager.add_request(row.input_ids, max_new_tokens=row.new_tokens) for row in work.rows]
        _collect(manager, names, [row.new_tokens for row in work.rows])
        return time.perf_counter() - begun
    finally:
        manager.stop(block=True)
        work.plain.set_attn_implementation(attention)


def _on_cpu() -> ContinuousBatchingConfig:
    return ContinuousBatchingConfig(page_size=_PAGE_TOKENS, num_blocks=_CACHE_PAGES, max_batch_tokens=1024)


def _collect(manager: Any, names: list[str], lengths: list[int]) -> None:
    wanted = dict(zip(names, lengths, strict=True))
    last = time.monotonic()
    while wanted:
        result = manager.get_result(timeout=1.0)
        if result is not None and result.is_finished():
            got, expected = len(result.generated_tokens), wanted.pop(result.request_id)
            if got != expected or result.error:
                raise RuntimeError(f"{got} tokens instead of {expected}: {result.error}")
            last = time.monotonic()
        elif time.monotonic() - last > _START_SECONDS or not manager.is_running():
            raise RuntimeError(f"continuous batching has stopped; {len(wanted)} documents are missing")
