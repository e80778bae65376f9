"""Measures everything that a GPU is there for, in one command of at most six minutes.

    python -m benchmarks.gpu [generation translation ...] [--limit 330] [--out gpu.json] [--dry]

Speeds are useful new tokens (documents, for sentiment) a second, everything submitted at once,
each beside transformers in the same run. Needs torch, Triton, numpy, numba and transformers, and
no network. `--dry` runs the same code with tiny models on a CPU, to see that it runs.
"""

from __future__ import annotations

import argparse
import gc
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers as hf

from benchmarks import sentiment, workload
from benchmarks.gpu import generation, roofline, translation
from benchmarks.gpu.measured import Measured
from benchmarks.gpu.roofline import Ceilings
from benchmarks.gpu.sorted_batches import sorted_generate
from benchmarks.workload import Workload
from models.decoding.scheduling.scheduler import Limits
from models.loading.device import Device, prepare_device
from models.loading.registry import load_model
from models.records import ModelSpec
from models.tasks.sentiment import SentimentEngine

#: Workloads, with their documents.
_DECODERS = {"generation": 512, "generation_1b": 512, "classic": 256}
_ENCODER_DECODERS = {"translation": 512, "summarisation": 128}
_ALL = (*_DECODERS, *_ENCODER_DECODERS, "sentiment")
_DRY_LIMITS = Limits(max_rows=4, num_pages=40, max_entries=64, chunk_sizes=(16, 32), max_begun=4)
_BASELINE_SECONDS = 20.0
_TEXTS, _DRY_TEXTS = 20_000, 20
_CONTINUOUS_DOCUMENTS = 128


class Run:
    """What is measured, where, and how long it may take."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.dry: bool = options.dry
        self.device: Device = prepare_device("cpu" if self.dry else "auto")
        self.dtype = "float32" if self.device.is_cpu else "bfloat16"
        self.limit: float = options.limit
        self.begun = time.perf_counter()
        self.found: list[dict[str, Any]] = []
        kind = getattr(torch, self.dtype)
        self.ceilings: Ceilings = roofline.measure(self.device.torch, kind, share=0.01 if self.dry else 1.0)

    @property
    def seconds_left(self) -> float:
        """Until the limit."""
        return self.limit - (time.perf_counter() - self.begun)

    def measure(self, name: str, work: Callable[[], Iterator[Measured]]) -> None:
        """Measures some systems and prints each at once; one that raises ends nothing."""
        if self.seconds_left < _BASELINE_SECONDS:
            print(f"{name:<14} left out: {self.seconds_left:.0f} s left", flush=True)
            return
        try:
            for measured in work():
                self._note(name, measured)
        except Exception as error:  # a baseline that does not run on this machine
            print(f"{name:<14} {type(error).__name__}: {error}", flush=True)
            self.found.append({"workload": name, "error": f"{type(error).__name__}: {error}"})
        gc.collect()
        if not self.device.is_cpu:
            torch.cuda.empty_cache()

    def _note(self, name: str, measured: Measured) -> None:
        facts = ", ".join(f"{key} {_short(value)}" for key, value in measured.facts.items())
        print(f"{name:<14} {measured.system:<28} {measured.tokens_per_second:>12,.0f}  {facts}", flush=True)
        self.found.append({"workload": name, **asdict(measured)})


def main() -> None:
    """Runs what was asked for; prints a table and writes JSON."""
    options = _options()
    run = Run(options)
    facts = {
        "device": run.device.title, "dtype": run.dtype, "torch": torch.__version__,
        "transformers": hf.__version__, **asdict(run.ceilings),
    }  # fmt: skip
    print(", ".join(f"{key} {_short(value)}" for key, value in facts.items()), flush=True)
    for name in options.workloads or _ALL:
        if name == "sentiment":
            run.measure(name, lambda: _sentiment(run))
        else:
            _decoding(run, name)
    took = time.perf_counter() - run.begun
    options.out.write_text(json.dumps({**facts, "seconds": took, "measured": run.found}, indent=1))
    print(f"{took:.0f} s; written to {options.out}")


def _decoding(run: Run, name: str) -> None:
    work = _workload(run, name)
    limits = _DRY_LIMITS if run.dry else None
    ours = translation.ours if name in _ENCODER_DECODERS else generation.ours
    run.measure(name, lambda: ours(work, run.ceilings, limits))
    few = 3 if run.dry else _CONTINUOUS_DOCUMENTS
    if name == "generation":
        run.measure(name, lambda: iter([generation.continuous_batching(work, few)]))
    if name != "classic":
        seconds = min(_BASELINE_SECONDS, run.seconds_left / 4)
        run.measure(name, lambda: iter([sorted_generate(work, seconds)]))


def _workload(run: Run, name: str) -> Workload:
    if run.dry:
        make_tiny = workload.tiny_translation if name in _ENCODER_DECODERS else workload.tiny
        return make_tiny(run.device, run.dtype)
    make: Callable[..., Workload] = getattr(workload, name)
    return make(run.device, run.dtype, (_DECODERS | _ENCODER_DECODERS)[name])


def _sentiment(run: Run) -> Iterator[Measured]:
    texts = sentiment.make_texts(_DRY_TEXTS if run.dry else _TEXTS)
    with tempfile.TemporaryDirectory() as folder:
        sentiment.save_model(Path(folder))
        spec = ModelSpec(name="s", task="sentiment", ref=folder, dtype=run.dtype)
        engine = SentimentEngine(load_model(spec, run.device))
        yield Measured("textmill", sentiment.by_engine(engine, texts), {"documents": len(texts)})
        some = texts[: len(texts) // 10]
        speed = sentiment.by_pipeline(folder, some, run.dtype)
        yield Measured("pipeline, batch 16", speed, {"documents": len(some)})


def _short(value: Any) -> str:
    return f"{value:,.3g}" if isinstance(value, float) else str(value)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=__doc__)
    parser.add_argument(
        "workloads", nargs="*", metavar="WORKLOAD", help=f"of {', '.join(_ALL)}; default: all"
    )
    parser.add_argument("--limit", type=float, default=330, help="seconds after which nothing more begins")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"), help="where the JSON goes")
    parser.add_argument("--dry", action="store_true", help="tiny models on a CPU")
    return parser.parse_args()


if __name__ == "__main__":
    main()
