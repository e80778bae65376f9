"""One process that has collected every test; each mutant is a fork of it that runs the tests which reach it.

Run by `tests.mutants.run` in the folder `mutants/`, where the changed code and a copy of the tests lie. A mutant costs a
fork and its tests: neither a start of Python, nor torch's import, nor pytest's collection.
"""

from __future__ import annotations

import gc
import json
import signal
import sys
import time
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from mutmut.configuration import config
from mutmut.mutation.trampoline import set_mutant_under_test
from mutmut.state import state

from tests.mutants.fork import Fork
from tests.mutants.outcomes import Outcome, Outcomes
from tests.mutants.reach import Reach

_PROCESSES = 3  # on two cores: some only wait
_MEASURING_SECONDS = 1800.0


def main() -> None:
    """`chosen.json` names the mutants in the order in which they are tried.

    The arguments: for how many seconds in all, and for how many seconds of tests each, the quickest first; what these
    do not notice counts as survived.
    """
    set_mutant_under_test("")
    names = json.loads(Path("chosen.json").read_text())
    seconds, test_seconds = map(float, sys.argv[1:])
    outcomes = Outcomes(Path("outcomes.jsonl"))
    loop = WarmLoop(names, outcomes, ends_at=time.monotonic() + seconds, test_seconds=test_seconds)
    options = ["-q", "--tb=no", "--capture=no", *config().pytest_add_cli_args]
    code = pytest.main([*options, *config().pytest_add_cli_args_test_selection], plugins=[loop])
    raise SystemExit(0 if loop.is_done else int(code) or 1)


def _find_and_do_not_shrink() -> None:
    """One example that fails is enough. The profile of `tests/conftest.py` begins with this one."""
    settings.register_profile("mutants", phases=(Phase.explicit, Phase.generate), database=None)
    settings.load_profile("mutants")


class WarmLoop:
    """Takes the place of pytest's own loop over the tests."""

    def __init__(self, names: list[str], outcomes: Outcomes, *, ends_at: float, test_seconds: float) -> None:
        self.is_done = False
        self._names = names
        self._outcomes = outcomes
        self._ends_at = ends_at
        self._test_seconds = test_seconds
        self._forks: list[Fork] = []
        self._reach = Reach(Path("reach.json"))
        self._items: dict[str, pytest.Item] = {}

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Tries one mutant after the other."""
        self._items = {item.nodeid: item for item in session.items}
        self._measure(session)
        gc.freeze()  # or each fork copies what its collector looks at
        for name in self._names:
            if time.monotonic() > self._ends_at:
                break
            self._try(session, name)
        self._wait_until_fewer_than(1)
        self.is_done = True
        return True

    def _measure(self, session: pytest.Session) -> None:
        """Which functions each test runs, and how long it takes; of those only that are not known yet."""
        unknown = [item for name, item in self._items.items() if name not in self._reach.seconds]
        if unknown:
            self._forks.append(
                Fork("", lambda: _measured(session, unknown, self._reach), limit_seconds=_MEASURING_SECONDS)
            )
            self._wait_until_fewer_than(1)
            self._reach.load()

    def _try(self, session: pytest.Session, name: str) -> None:
        tests = [test for test in self._reach.of(name) if test in self._items]
        if not tests:
            self._outcomes.add(Outcome(name, "no tests", 0.0))
            return
        chosen = self._reach.affordable(tests, self._test_seconds)
        # A test that hangs has its own limit; this one is for what swallows it, and must not be load's doing.
        limit_seconds = 60 + 20 * sum(self._reach.seconds[test] for test in chosen)
        self._wait_until_fewer_than(_PROCESSES)
        self._forks.append(
            Fork(name, lambda: self._is_noticed(session, name, chosen), limit_seconds=limit_seconds)
        )

    def _is_noticed(self, session: pytest.Session, name: str, tests: list[str]) -> bool:
        set_mutant_under_test(name)
        items = [self._items[test] for test in tests]
        for item in items:
            item.add_marker(pytest.mark.timeout(5 + 10 * self._reach.seconds[item.nodeid]))
        return fails(session, items)

    def _wait_until_fewer_than(self, num_forks: int) -> None:
        while len(self._forks) >= num_forks:
            verdicts = [(fork, fork.verdict()) for fork in self._forks]
            self._forks = [fork for fork, verdict in verdicts if verdict is None]
            for fork, verdict in verdicts:
                if verdict is not None and fork.name:
                    self._outcomes.add(
                        Outcome(fork.name, verdict, round(fork.seconds, 2), round(fork.cpu_seconds, 2))
                    )
            signal.sigtimedwait({signal.SIGCHLD}, 0.01)  # until one ends, or may be overdue


def fails(session: pytest.Session, items: list[pytest.Item]) -> bool:
    """Runs one after the other, up to the first that fails."""
    before = session.testsfailed
    for item, following in zip(items, [*items[1:], None], strict=True):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.testsfailed > before:
            return True
    return False


def _measured(session: pytest.Session, items: list[pytest.Item], reach: Reach) -> bool:
    """In a fork. A test that fails without any change would notice every one: it is left out."""
    set_mutant_under_test("stats")
    failed = []
    for item, following in zip(items, [*items[1:], None], strict=True):
        state()._stats.clear()
        begun, before = time.monotonic(), session.testsfailed
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        is_right = session.testsfailed == before
        reach.add(item.nodeid, state()._stats if is_right else (), time.monotonic() - begun)
        failed += [] if is_right else [item.nodeid]
    reach.save()
    Path("failed.json").write_text(json.dumps(failed))
    return bool(failed)


if __name__ == "__main__":
    main()
