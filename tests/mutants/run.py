"""Makes mutants, tries a sample of them, and writes the report."""

from __future__ import annotations

import argparse
import os
import random
import signal
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from mutmut import __main__ as mutmut
from mutmut.mutation.trampoline import get_mutant_under_test, set_mutant_under_test
from mutmut.runners.harness import PytestRunner
from mutmut.state import state
from mutmut.stats import status_by_exit_code

from tests.mutants.changes import leave_words_alone
from tests.mutants.report import Tried, write
from tests.mutants.survivors import read_accepted

_PROCESSES = 2
#: Of a mutant's tests, quickest first; what these do not notice counts as survived.
_MOST_TEST_SECONDS = 30.0
_NOT_TRIED = ("not checked", "check was interrupted by user")


def main() -> None:
    """Runs in the root of the repository; what is between it and a second run is in `mutants/`."""
    options = _options()
    leave_words_alone()
    _prefer_quick_tests()
    names = sample(_make(), per_module=options.sample, seed=options.seed, only=options.only)
    begun = time.monotonic()
    _end_after(options.minutes)
    mutmut._run(tuple(names), _PROCESSES)
    outcomes = _outcomes()
    tried = [Tried(*each) for each in outcomes if each[0] in names and each[1] not in _NOT_TRIED]
    write(
        Path(options.report), tried, accepted=read_accepted(), seed=options.seed, per_module=options.sample,
        seconds=time.monotonic() - begun, num_made=len(outcomes), num_late=len(names) - len(tried),
    )  # fmt: skip


def sample(names: Iterable[str], *, per_module: int, seed: int, only: str) -> set[str]:
    """As many of each module, the same ones for the same seed and code."""
    by_module: dict[str, list[str]] = {}
    for name in sorted(names):
        if name.startswith(only):
            by_module.setdefault(name.rpartition(".")[0], []).append(name)
    chosen: set[str] = set()
    for module, of_module in by_module.items():
        dice = random.Random(f"{seed} {module}")
        chosen.update(dice.sample(of_module, min(per_module, len(of_module))))
    return chosen


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants.run", description=main.__doc__)
    parser.add_argument("report", help="the file to write")
    parser.add_argument("--sample", type=int, default=12, help="most mutants of one module")
    parser.add_argument("--minutes", type=float, default=55.0, help="after which no other one is tried")
    parser.add_argument("--seed", type=int, default=18)
    parser.add_argument("--only", default="", help="modules whose names begin so")
    return parser.parse_args()


def _end_after(minutes: float) -> None:
    """As Ctrl-C does: mutmut keeps what it has found out. Not by an alarm, which the tests' timeouts use."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(60 * minutes, os.kill, (os.getpid(), signal.SIGINT))
    timer.daemon = True
    timer.start()


def _make() -> list[str]:
    """Every mutant's name."""
    set_mutant_under_test("mutant_generation")
    Path("mutants").mkdir(exist_ok=True)
    mutmut.copy_src_dir()
    mutmut.copy_also_copy_files()
    mutmut.create_mutants(_PROCESSES)
    return [name for name, _ in _outcomes()]


def _outcomes() -> list[tuple[str, str]]:
    mutants, _ = mutmut.collect_source_file_mutation_data(mutant_names=())
    return [(name, status_by_exit_code[exit_code]) for _, name, exit_code in mutants]


def _prefer_quick_tests() -> None:
    """A mutant dies of its quickest test; a survivor does not cost the whole suite."""
    all_arguments = PytestRunner._pytest_args_regular_run

    def quickest_first(runner: PytestRunner, tests: Iterable[str]) -> list[str]:
        is_a_mutant = bool(get_mutant_under_test())
        return list(all_arguments(runner, _affordable(list(tests)) if is_a_mutant else tests))

    PytestRunner._pytest_args_regular_run = quickest_first  # type: ignore[method-assign]


def _affordable(tests: Sequence[str]) -> list[str]:
    seconds = state().duration_by_test
    chosen, left = [], _MOST_TEST_SECONDS
    for test in sorted(tests, key=lambda test: seconds.get(test, 0.0)):
        left -= seconds.get(test, 0.0)
        if left < 0 and chosen:
            break
        chosen.append(test)
    return chosen


if __name__ == "__main__":
    main()
