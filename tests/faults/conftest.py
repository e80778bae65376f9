"""The fault suite: short in `make test`, at length in `make faults`, which writes a report."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.audit import Audit
from tests.support.cluster import Cluster

FULL_VARIABLE = "TEXTMILL_FAULTS_FULL"  #: a file to which `make faults` has every test add its row


_PASSED = pytest.StashKey[bool]()


@dataclass
class Profile:
    """How much of everything, and the dice."""

    is_full: bool
    seed: int
    report: Path | None
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)

    def pick(self, short: int, full: int) -> int:
        """A number for the profile in force."""
        return full if self.is_full else short

    def note(self, **facts: Any) -> None:
        """Adds to this test's row in the report."""
        self.facts.update(facts)

    def settle(self, books: Audit) -> None:
        """The end of every test: nothing lost, doubled, mixed up, miscounted or stuck."""
        self.note(**books.row())
        assert books.is_clean, books


@pytest.fixture
def profile(request: pytest.FixtureRequest) -> Iterator[Profile]:
    report = os.environ.get(FULL_VARIABLE)
    seed = int(os.environ.get("TEXTMILL_FAULTS_SEED", "20261124"))
    made = Profile(bool(report), seed, Path(report) if report else None)
    yield made
    if made.report is not None:
        passed = request.node.stash.get(_PASSED, False)
        row = {"fault": request.node.name, "seed": seed, "passed": passed, **made.facts}
        with made.report.open("a") as file:
            file.write(json.dumps(row) + "\n")


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Callable[..., Cluster]]:
    opened: list[Cluster] = []

    def make(**options: Any) -> Cluster:
        opened.append(Cluster(tmp_path / "c", **options))
        return opened[-1].__enter__()

    yield make
    for one in opened:
        one.__exit__(None, None, None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.when == "call":
        item.stash[_PASSED] = report.passed
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "tests/faults" in str(item.path):
            item.add_marker(pytest.mark.faults)
            item.add_marker(pytest.mark.timeout(1800))
