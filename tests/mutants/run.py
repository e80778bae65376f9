"""Makes mutants, has a sample of them tried, and writes the report."""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterable
from itertools import chain, zip_longest
from pathlib import Path

from mutmut import __main__ as mutmut
from mutmut.mutation.trampoline import set_mutant_under_test

from tests.mutants.changes import leave_words_alone
from tests.mutants.outcomes import Outcomes
from tests.mutants.report import write
from tests.mutants.survivors import read_accepted

_MAKERS = 2
_FOLDER = Path("mutants")


def main() -> None:
    """Runs in the root of the repository; `mutants/` keeps what was found out, and a second run goes on from there."""
    options = _options()
    leave_words_alone()
    made = _make()
    chosen = sample(made, per_module=options.sample, seed=options.seed, only=options.only)
    outcomes = Outcomes(_FOLDER / "outcomes.jsonl")
    known = outcomes.all()
    survivors = [name for name in chosen if name in known and not known[name].is_noticed]
    waiting = survivors + [name for name in chosen if name not in known]  # new tests may notice the former
    begun = time.monotonic()
    (_FOLDER / "chosen.json").write_text(json.dumps(waiting))
    _try(60 * options.minutes, options.test_seconds)
    known = outcomes.all()
    tried = [known[name] for name in chosen if name in known]
    write(
        Path(options.report), tried, accepted=read_accepted(), seed=options.seed, per_module=options.sample,
        seconds=time.monotonic() - begun, num_made=len(made), num_late=len(chosen) - len(tried),
    )  # fmt: skip


def sample(names: Iterable[str], *, per_module: int, seed: int, only: str) -> list[str]:
    """As many of each module, the same ones for the same seed and code, one of each module in turn."""
    by_module: dict[str, list[str]] = {}
    for name in sorted(names):
        if name.startswith(only):
            by_module.setdefault(name.rpartition(".")[0], []).append(name)
    chosen = [
        random.Random(f"{seed} {module}").sample(of_module, min(per_module, len(of_module)))
        for module, of_module in by_module.items()
    ]
    return [name for name in chain.from_iterable(zip_longest(*chosen)) if name is not None]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants.run", description=main.__doc__)
    parser.add_argument("report", help="the file to write")
    parser.add_argument("--sample", type=int, default=40, help="most mutants of one module")
    parser.add_argument("--minutes", type=float, default=50.0, help="after which no other one is tried")
    parser.add_argument(
        "--test-seconds", type=float, default=8.0, help="of tests for one mutant, quickest first"
    )
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("--only", default="", help="modules whose names begin so")
    return parser.parse_args()


def _make() -> list[str]:
    """Every mutant's name."""
    set_mutant_under_test("mutant_generation")
    _FOLDER.mkdir(exist_ok=True)
    mutmut.copy_src_dir()
    mutmut.copy_also_copy_files()
    mutmut.create_mutants(_MAKERS)
    mutants, _ = mutmut.collect_source_file_mutation_data(mutant_names=())
    return [name for _, name, _ in mutants]


def _try(seconds: float, test_seconds: float) -> None:
    """In a process that knows the copies only."""
    environment = {**os.environ, "PYTHONPATH": str(_FOLDER.resolve())}
    command = [sys.executable, "-m", "tests.mutants.warm", str(seconds), str(test_seconds)]
    subprocess.run(command, cwd=_FOLDER, env=environment, check=True)


if __name__ == "__main__":
    main()
