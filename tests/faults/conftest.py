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
        row = {"fault": request.node.name, "seed": seed, "passed": has_passed(request), **made.facts}
        with made.report.open("a") as file:
            file.write(json.dumps(row) + "\n")


@pytest.fixture
def cluster(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Callable[..., Cluster]]:
    """Makes a cluster of the test's own."""
    opened: list[Cluster] = []

    def make(**options: Any) -> Cluster:
        opened.append(Cluster(tmp_path / "c", **options))
        return opened[-1].__enter__()

    yield make
    for one in opened:
        one.stop(show_logs=not has_passed(request))


@pytest.fixture(scope="session")
def kept_clusters() -> Iterator[dict[int, Cluster]]:
    """Those that run on after a test, by their number of workers."""
    kept: dict[int, Cluster] = {}
    yield kept
    for one in kept.values():
        one.stop()


@pytest.fixture
def shared(
    tmp_path_factory: pytest.TempPathFactory,
    kept_clusters: dict[int, Cluster],
    profile: Profile,
    request: pytest.FixtureRequest,
) -> Iterator[Callable[[int], Cluster]]:
    """A cluster with so many workers, for tests that leave it whole: the next one goes on with it.

    A test that fails leaves nothing to the next, and at length each has its own: the report counts by test.
    """
    taken: list[tuple[int, Cluster]] = []

    def take(workers: int) -> Cluster:
        if workers in kept_clusters:
            one = kept_clusters.pop(workers)
            taken.append((workers, one))
            one.mend()
            one.wait_ready()
        else:
            folder = tmp_path_factory.mktemp("shared")
            one = Cluster(folder, workers=workers, TEXTMILL_FAULT_PACE_SECONDS="0.01")
            taken.append((workers, one))
            one.__enter__()
        return one

    yield take
    for workers, one in taken:
        if has_passed(request) and not profile.is_full:
            kept_clusters[workers] = one
        else:
            one.stop(show_logs=not has_passed(request))


def has_passed(request: pytest.FixtureRequest) -> bool:
    """Whether the test, which is over, did."""
    return bool(request.node.stash.get(_PASSED, False))


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
