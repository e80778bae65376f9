"""Which tests run which function, and how long each takes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

from mutmut.utils.format_utils import mangled_name_from_mutant_name


class Reach:
    """Found out once by running every test; kept in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tests: dict[str, list[str]] = {}
        self._num_functions: Counter[str] = Counter()  # that a test runs
        self.seconds: dict[str, float] = {}
        self.load()

    def load(self) -> None:
        """Reads what another process has found out."""
        if self._path.exists():
            kept = json.loads(self._path.read_text())
            self._tests, self.seconds = kept["tests"], kept["seconds"]
            self._num_functions = Counter(chain.from_iterable(self._tests.values()))

    def save(self) -> None:
        self._path.write_text(json.dumps({"tests": self._tests, "seconds": self.seconds}))

    def add(self, test: str, functions: Iterable[str], seconds: float) -> None:
        """`functions` as mutmut names them."""
        self.seconds[test] = seconds
        for function in functions:
            self._tests.setdefault(function, []).append(test)

    def of(self, mutant: str) -> list[str]:
        """The tests that run its function, the quickest and those that run little else first.

        A function of the store is run by hundreds of tests of the API, most of which would miss nothing without it.
        """
        tests = self._tests.get(mangled_name_from_mutant_name(mutant), [])
        return sorted(tests, key=lambda test: self.seconds[test] * self._num_functions[test])

    def affordable(self, tests: Iterable[str], seconds: float) -> list[str]:
        """As many of them as that time allows, the first one in any case."""
        chosen: list[str] = []
        for test in tests:
            seconds -= self.seconds[test]
            if seconds < 0 and chosen:
                break
            chosen.append(test)
        return chosen
