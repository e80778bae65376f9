"""How fast the decoding engine is, beside transformers on the same rows in the same process.

    python -m benchmarks.engine generation translation [--documents 96] [--dtype auto]

Speeds are useful new tokens per second: padding and rows that have ended count for
nothing. Every system must give each document exactly its number of new tokens (random
weights end nowhere by themselves). The ceiling is what the model's own matrix products
reach alone, at the engine's mean number of rows.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from benchmarks import continuous, workload
from benchmarks.workload import Row, Workload
from models.device import available_cores, prepare_device
from models.engine.prompt import Prompt
from models.runners.decoding_core import decoding_core
from models.runners.plan import Piece

_BATCH = 16
_ALONE = 6  # documents that are enough to see the speed of one at a time


@dataclass(frozen=True)
class Speed:
    """What one system reached."""

    system: str
    tokens_per_second: float
    padding_waste: float | None  #: share of computed rows and positions that nobody wanted; None: not told
    mean_rows: float | None  #: live rows in a decoding step


def main() -> None:
    """Runs what was asked for and prints a table and a JSON line for each."""
    options = _options()
    device = prepare_device("auto")
    for name in options.workloads:
        dtype = options.dtype or ("bfloat16" if device.has_fast_bfloat16 else "float32")
        work: Workload = getattr(workload, name)(device, dtype, options.documents)
        speeds = [
            one_at_a_time(work),
            in_batches(work, "generate, batches of 16", range(len(work.rows))),
            in_batches(work, "generate, 16, sorted", _sorted(work.rows)),
        ]
        if not work.plain.config.is_encoder_decoder:  # it decodes no others
            speeds.append(
                Speed("transformers, continuous", work.useful_tokens / continuous.decode(work), None, None)
            )
        speeds.append(ours(work))
        _print(work, dtype, device.title, speeds, ceiling(work, speeds[-1].mean_rows or 1))


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
    return Speed("textmill", work.useful_tokens / seconds, 0.0, rows)  # only live rows are computed


def ceiling(work: Workload, rows: float) -> float:
    """Useful tokens per second if nothing but the model's weight products had to be computed."""
    dtype = next(work.plain.parameters()).dtype
    side = work.plain.get_decoder() if work.plain.config.is_encoder_decoder else work.plain
    shapes = [tuple(p.shape) for name, p in side.named_parameters() if p.dim() == 2 and "embed" not in name
              and "wte" not in name and "wpe" not in name]  # fmt: skip
    head = tuple(work.plain.get_output_embeddings().weight.shape)
    count = max(1, round(rows))
    with torch.inference_mode():
        products = [
            (torch.randn(count, shape[0], dtype=dtype), torch.randn(shape, dtype=dtype)) for shape in shapes
        ]
        last = torch.randn(count, head[1], dtype=dtype), torch.randn(head, dtype=dtype)

        def step() -> None:
            for left, right in products:
                torch.matmul(left, right)
            torch.nn.functional.linear(*last)

        step()
        seconds = statistics.median(_timed(step) for _ in range(10))
    return count / work.num_beams / seconds


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
    with torch.inference_mode():
        work.plain.generate(
            torch.tensor(ids), attention_mask=torch.tensor(mask), max_new_tokens=longest,
            min_new_tokens=longest, num_beams=work.num_beams, do_sample=False, pad_token_id=pad,
        )  # fmt: skip


def _sorted(rows: Sequence[Row]) -> list[int]:
    """Longest first, by what nobody knows beforehand as well: the kindest order for the baseline."""
    return sorted(range(len(rows)), key=lambda i: -(len(rows[i].input_ids) + rows[i].new_tokens))


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _print(work: Workload, dtype: str, device: str, speeds: Sequence[Speed], most: float) -> None:
    millions = work.loaded.num_parameters / 1e6
    print(f"\n{work.name}: {millions:.0f} M parameters, {dtype}, {device}, {available_cores()} cores, "
          f"{len(work.rows)} documents, {work.useful_tokens} new tokens, beams {work.num_beams}")  # fmt: skip
    print(f"{'system':<26} tokens/s   waste  mean rows  of the ceiling ({most:.0f} tokens/s)")
    for speed in speeds:
        print(
            f"{speed.system:<26} {speed.tokens_per_second:>8.1f} {_told(speed.padding_waste, '7.0%')} "
            f"{_told(speed.mean_rows, '10.1f')} {speed.tokens_per_second / most:>8.0%}"
        )
    *others, last = speeds
    ratios = (f"{last.tokens_per_second / s.tokens_per_second:.1f} times [{s.system}]" for s in others)
    print(f"textmill is {', '.join(ratios)}")
    facts = {"benchmark": f"engine-{work.name}", "dtype": dtype, "ceiling_tokens_per_second": most}
    print(json.dumps({**facts, "systems": [asdict(speed) for speed in speeds]}))


def _told(number: float | None, form: str) -> str:
    return f"{'?' if number is None else format(number, form):>{form.partition('.')[0]}}"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine", description=__doc__)
    parser.add_argument("workloads", nargs="*", default=["generation", "translation"], metavar="WORKLOAD",
                        help="generation, translation (default: both)")  # fmt: skip
    parser.add_argument("--documents", type=int, default=96)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"])
    return parser.parse_args()


if __name__ == "__main__":
    main()
