"""How fast the decoding engine is, beside transformers on the same rows in the same process.

    python -m benchmarks.engine generation translation [--documents 128] [--dtype auto]

Speeds are useful new tokens per second: padding and rows that have ended count for
nothing. Every system must give each document exactly its number of new tokens (random
weights end nowhere by themselves). The ceiling is what products with the model's own
weights reach alone: of the prompts, and of the new tokens at the engine's mean number of rows.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from typing import Any

import torch

from benchmarks import continuous, workload
from benchmarks.workload import Row, Workload
from models.batching.plan import Piece
from models.decoding.parameters.prompt import Prompt
from models.loading.device import available_cores, prepare_device
from models.tasks.decoding_core import decoding_core

_OURS = "textmill"
_BATCH = 16
_ALONE = 6  # documents that are enough to see the speed of one at a time
_CHUNK_TOKENS = 256  # of prompts, in one product of the ceiling
_TRIES = 50


@dataclass(frozen=True)
class Speed:
    """What one system reached."""

    system: str
    tokens_per_second: float
    padding_waste: float = math.nan  #: share of computed tokens that nobody wanted; NaN: it does not tell
    mean_rows: float = math.nan  #: live rows in a decoding step


def main() -> None:
    """Runs what was asked for and prints a table and a JSON line for each."""
    options = _options()
    device = prepare_device("auto")
    for name in options.workloads:
        dtype = options.dtype or ("bfloat16" if device.has_fast_bfloat16 else "float32")
        work: Workload = getattr(workload, name)(device, dtype, options.documents)
        speeds = [*by_transformers(work), ours(work)]
        most = ceiling(work, speeds[-1].mean_rows)
        # Computed last, so that its own threads cannot be in our way.
        _print(work, dtype, device.title, [*speeds, *by_ctranslate2(work)], most)


def by_transformers(work: Workload) -> Iterator[Speed]:
    """What transformers makes of the same rows."""
    yield one_at_a_time(work)
    yield in_batches(work, "generate, batches of 16", range(len(work.rows)))
    yield in_batches(work, "generate, 16, sorted", _sorted(work.rows))
    if not work.plain.config.is_encoder_decoder:  # it decodes no others
        yield Speed("transformers, continuous", work.useful_tokens / continuous.decode(work))


def by_ctranslate2(work: Workload) -> Iterator[Speed]:
    """What CTranslate2 makes of them on a CPU, where it is installed; translation also behind our runner."""
    if not work.loaded.device.is_cpu:
        return
    if find_spec("ctranslate2") is None:
        print(
            "CTranslate2 is not installed; pip install -e '.[ctranslate2]' compares with it", file=sys.stderr
        )
        return
    from benchmarks import ctranslate  # imports the package

    for compute_type in ctranslate.COMPUTE_TYPES:
        yield Speed(f"CTranslate2, {compute_type}", ctranslate.decode(work, compute_type), 0.0)
    if work.plain.config.is_encoder_decoder:
        yield Speed("textmill, int8", ctranslate.serve(work), 0.0)


def one_at_a_time(work: Workload) -> Speed:
    """`model.generate` on single documents: what a script does."""
    rows = work.rows[:_ALONE]
    seconds = _timed(lambda: [_generate(work, [row]) for row in rows])
    return Speed("generate, one at a time", sum(r.new_tokens for r in rows) / seconds, 0.0, work.num_beams)


def in_batches(work: Workload, name: str, order: Sequence[int]) -> Speed:
    """`model.generate` on padded batches; each runs until its longest document is done."""
    batches = [
        [work.rows[i] for i in order[start : start + _BATCH]] for start in range(0, len(order), _BATCH)
    ]
    seconds = _timed(lambda: [_generate(work, batch) for batch in batches])
    computed = sum(len(batch) * max(row.new_tokens for row in batch) for batch in batches)
    waste = 1 - work.useful_tokens / computed
    return Speed(name, work.useful_tokens / seconds, waste, _BATCH * work.num_beams * (1 - waste))


def ours(work: Workload) -> Speed:
    """The engine, all documents submitted at once."""
    core = decoding_core(work.loaded)
    for key, row in enumerate(work.rows):
        params = {"num_beams": work.num_beams, "do_sample": False, "min_new_tokens": row.new_tokens}
        prompt = Prompt(
            input_ids=row.input_ids, max_new_tokens=row.new_tokens, params=params, num_rows=work.num_beams
        )
        piece = Piece(key=key, index=0, num_tokens=len(row.input_ids), num_rows=work.num_beams, data=prompt)
        core.add([piece], 6)
    done: list[Any] = []

    def run() -> None:
        while len(done) < len(work.rows):
            done.extend(core.step())

    seconds = _timed(run)
    rows = core.counters["live_rows"] / core.counters["steps"]
    return Speed(_OURS, work.useful_tokens / seconds, 0.0, rows)  # only live rows are computed


def ceiling(work: Workload, rows: float) -> float:
    """Useful tokens per second if nothing but products with the model's weights had to be computed.

    Those of new tokens at the engine's mean number of rows, those of prompts in chunks.
    """
    prompt, token = _weights(work)
    num_prompt_tokens = sum(len(row.input_ids) for row in work.rows)
    num_steps = work.useful_tokens * work.num_beams / max(1, round(rows))
    seconds = num_prompt_tokens / _CHUNK_TOKENS * _products(prompt, _CHUNK_TOKENS, work.plain)
    seconds += num_steps * _products(token, max(1, round(rows)), work.plain)
    return work.useful_tokens / seconds


def _weights(work: Workload) -> tuple[list[torch.Size], list[torch.Size]]:
    """Shapes of the matrices that each token of a prompt goes through, and each new token."""
    matrices = {
        name: parameter.shape
        for name, parameter in work.plain.named_parameters()
        if parameter.dim() == 2 and not re.search(r"embed|shared|wte|wpe", name)
    }
    head = work.plain.get_output_embeddings().weight.shape
    if not work.plain.config.is_encoder_decoder:
        layers = list(matrices.values())
        return layers, [*layers, head]
    # Keys and values of the cross-attention are computed once for each source token.
    of_source = {name for name in matrices if re.search(r"encoder\.layers|encoder_attn\.[kv]_proj", name)}
    return (
        [shape for name, shape in matrices.items() if name in of_source],
        [*(shape for name, shape in matrices.items() if name not in of_source), head],
    )


def _products(shapes: Sequence[torch.Size], num_rows: int, like: Any) -> float:
    """Seconds of one product with each matrix, the best of many: a disturbed ceiling flatters."""
    with torch.inference_mode(), torch.device(like.device):
        pairs = [
            (torch.randn(num_rows, shape[1], dtype=like.dtype), torch.randn(shape, dtype=like.dtype))
            for shape in shapes
        ]

        def step() -> None:
            for left, right in pairs:
                torch.nn.functional.linear(left, right)

        step()
        return min(_timed(step) for _ in range(_TRIES))


def _generate(work: Workload, rows: Sequence[Row]) -> None:
    config = work.plain.config
    is_causal = not config.is_encoder_decoder
    width, longest = max(len(r.input_ids) for r in rows), max(r.new_tokens for r in rows)
    pad = 0 if is_causal else int(config.pad_token_id)
    ids, mask = [], []
    for row in rows:
        padding = width - len(row.input_ids)
        padded, ones = [pad] * padding, [1] * len(row.input_ids)
        ids.append(padded + row.input_ids if is_causal else row.input_ids + padded)
        mask.append([0] * padding + ones if is_causal else ones + [0] * padding)
    with torch.inference_mode(), torch.device(work.plain.device):
        work.plain.generate(
            torch.tensor(ids), attention_mask=torch.tensor(mask), max_new_tokens=longest,
            min_new_tokens=longest, num_beams=work.num_beams, do_sample=False, pad_token_id=pad,
        )  # fmt: skip


def _sorted(rows: Sequence[Row]) -> list[int]:
    """Longest first, by what nobody knows beforehand as well: the kindest order for the baseline."""
    return sorted(range(len(rows)), key=lambda i: -(len(rows[i].input_ids) + rows[i].new_tokens))


def _timed(work: Callable[[], object]) -> float:
    _wait()
    begun = time.perf_counter()
    work()
    _wait()
    return time.perf_counter() - begun


def _wait() -> None:
    if torch.cuda.is_initialized():  # kernels are only queued
        torch.cuda.synchronize()


def _print(work: Workload, dtype: str, device: str, speeds: Sequence[Speed], most: float) -> None:
    millions = work.loaded.num_parameters / 1e6
    print(f"\n{work.name}: {millions:.0f} M parameters, {dtype}, {device}, {available_cores()} cores, "
          f"{len(work.rows)} documents, {work.useful_tokens} new tokens, beams {work.num_beams}")  # fmt: skip
    print(f"{'system':<26} tokens/s   waste  mean rows  of the ceiling ({most:.0f} tokens/s)")
    for speed in speeds:
        print(
            f"{speed.system:<26} {speed.tokens_per_second:>8.1f} {speed.padding_waste:>7.0%} "
            f"{speed.mean_rows:>10.1f} {speed.tokens_per_second / most:>8.0%}"
        )
    for mine in (speed for speed in speeds if speed.system.startswith(_OURS)):
        others = (speed for speed in speeds if not speed.system.startswith(_OURS))
        ratios = (f"{mine.tokens_per_second / s.tokens_per_second:.1f} times [{s.system}]" for s in others)
        print(f"{mine.system} is {', '.join(ratios)}")
    facts = {"benchmark": f"engine-{work.name}", "dtype": dtype, "ceiling_tokens_per_second": most}
    systems = [{key: value for key, value in asdict(speed).items() if value == value} for speed in speeds]
    print(json.dumps({**facts, "systems": systems}))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.add_argument("workloads", nargs="*", default=["generation", "translation"], metavar="WORKLOAD",
                        help="generation, translation (default: both), generation_1b")  # fmt: skip
    parser.add_argument("--documents", type=int, default=128, help="default: 128, each conversation once")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"])
    return parser.parse_args()


if __name__ == "__main__":
    main()
