"""What the host needs for a step of decoding, beside a model that costs nothing.

    python -m benchmarks.host [--rows 256] [--vocabulary 1000] [--against FOLDER] [--with-a-layer]

The processor's microseconds for a step of 256 rows, greedy, sampled and four a document (beams).
The model answers with scores that are there already, so that what is left is the engine's own; with
a large vocabulary, on a CPU, that is mostly reading the scores. `--with-a-layer` lets transformers
compute one layer of width eight before: its own code for that, and attention over pages beside it.
`--against` names a checkout of another commit with an environment of
its own in `.venv`; both are measured in turns, and the share of the other's time is printed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_WAYS: dict[str, dict[str, Any]] = {
    "greedy": {"do_sample": False},
    "sampled": {"do_sample": True, "temperature": 0.8, "top_k": 50, "top_p": 0.95},
    "beams": {"do_sample": False, "num_beams": 4},
}
_TURNS = 2
_MOST_ROWS = 512


def main() -> None:
    """Measures, and prints a table and a JSON line."""
    options = _options()
    if options.once:
        print(json.dumps(measure(options.rows, options.steps, options.vocabulary, options.with_a_layer)))
        return
    folders = {"this": Path.cwd(), **({"other": options.against} if options.against else {})}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in folders}
    for _ in range(_TURNS):
        for name, folder in folders.items():
            found[name].append(_in_folder(folder, options))
    best = {name: {way: min(each[way] for each in runs) for way in _WAYS} for name, runs in found.items()}
    for way in _WAYS:
        line = f"{way:<10} {best['this'][way]:>10.0f} microseconds a step of {options.rows} rows"
        if options.against:
            line += f", {best['this'][way] / best['other'][way]:.3f} of {best['other'][way]:.0f}"
        print(line)
    print(json.dumps({"benchmark": "host", "rows": options.rows, **best}))


def _in_folder(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """What this script says when it runs by the code and the environment of a checkout."""
    numbers = {"--rows": options.rows, "--steps": options.steps, "--vocabulary": options.vocabulary}
    command = [str(folder / ".venv/bin/python"), __file__, "--once"]
    command += [word for name, number in numbers.items() for word in (name, str(number))]
    command += ["--with-a-layer"] if options.with_a_layer else []
    # One thread for numba too: older commits let it give torch all cores, which wait for each other.
    environment = {**os.environ, "PYTHONPATH": str(folder), "NUMBA_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def measure(num_rows: int, num_steps: int, vocabulary: int, with_a_layer: bool) -> dict[str, float]:
    """Microseconds of processor time in a step of so many rows, the median, for each way."""
    decoding_core = _module("models.tasks.decoding_core", "models.runners.decoding_core")
    _module("models.decoding.limits", "models.engine.limits")._CPU_ROWS = num_rows * 8 // 7 + 1
    loaded = _small_model(vocabulary)
    core = decoding_core.decoding_core(loaded)
    for way in _WAYS.values():  # what is proven when its first document comes is proven by true answers
        _add(core, way, range(1))
        core.step()
        core.discard([0])
    _answer_at_once(loaded.model, vocabulary, with_a_layer)
    return {way: _microseconds(core, params, num_rows, num_steps) for way, params in _WAYS.items()}


def _microseconds(core: Any, params: dict[str, Any], num_rows: int, num_steps: int) -> float:
    keys = range(num_rows // params.get("num_beams", 1))
    _add(core, params, keys)
    for _ in range(5):
        core.step()
    times = []
    for _ in range(num_steps):
        begun = time.process_time_ns()
        core.step()
        times.append(time.process_time_ns() - begun)
    core.discard(list(keys))
    return statistics.median(times) / 1000


def _add(core: Any, params: dict[str, Any], keys: Sequence[int]) -> None:
    """Documents of one token, each as many rows as it has beams."""
    prompts = _module("models.decoding.parameters.prompt", "models.engine.prompt")
    plan = _module("models.batching.plan", "models.runners.plan")
    width = params.get("num_beams", 1)
    for key in keys:
        prompt = prompts.Prompt(
            input_ids=[5], max_new_tokens=500, params=params, num_rows=width,
            seed=key if params["do_sample"] else None,
        )  # fmt: skip
        core.add([plan.Piece(key=key, index=0, num_tokens=1, num_rows=width, data=prompt)], 6)


def _module(today: str, before: str) -> Any:
    """A module by the name of today, or by that of 143fab2: both are measured by this very script."""
    try:
        return importlib.import_module(today)
    except ImportError:
        return importlib.import_module(before)


def _small_model(vocabulary: int) -> Any:
    """One layer of width eight: of two numbers, what normalises leaves no more than their signs."""
    import torch
    import transformers as hf

    from benchmarks import workload

    device = _module("models.loading.device", "models.device").prepare_device("cpu", num_threads=1)
    torch.manual_seed(0)
    config = hf.GPT2Config(
        vocab_size=vocabulary, n_embd=8, n_layer=1, n_head=1, n_positions=1024, eos_token_id=None
    )
    return workload._loaded(hf.GPT2LMHeadModel(config).eval(), "generation", device, "float32")


def _answer_at_once(model: Any, vocabulary: int, with_a_layer: bool) -> None:
    """From now on a model, or its head alone, gives random scores that are there already."""
    import torch
    from transformers.modeling_outputs import CausalLMOutput

    answers = torch.randn(_MOST_ROWS, vocabulary)

    def scores(rows: torch.Size) -> torch.Tensor:
        return answers[: rows.numel()].view(*rows, vocabulary)

    if with_a_layer:
        model.lm_head.forward = lambda hidden: scores(hidden.shape[:-1])
    else:
        model.forward = lambda input_ids, **_: CausalLMOutput(logits=scores(input_ids.shape))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.host", description=__doc__)
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--vocabulary", type=int, default=1000)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--with-a-layer", action="store_true", help="transformers computes one layer")
    parser.add_argument("--against", type=Path, help="a checkout of another commit, with its .venv")
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
