"""Servers to look at, and a browser; without one, nothing here is collected."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.chromium import Seat, chromium, seat, why_not
from tests.support.cluster import Cluster
from tests.support.waiting import PATIENCE_SECONDS

if TYPE_CHECKING:
    from playwright.sync_api import Browser

#: `make test-browser` fails where there is no browser; a run of everything goes without.
collect_ignore_glob = ["test_*.py"] if why_not() else []

ADMIN_KEY, PROJECT_KEY = "admin-key-of-the-tests", "project-key-of-tests"
Seats = Callable[..., Seat]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE_SECONDS * 1000)
    with chromium() as running:
        yield running


@pytest.fixture
def take_seat(browser: Browser) -> Iterator[Seats]:
    """Somebody who opens pages; at the end nothing may have gone wrong on any of them."""
    taken: list[Seat] = []
    with ExitStack() as stack:

        def take(base: str, size: tuple[int, int], **options: Any) -> Seat:
            taken.append(stack.enter_context(seat(browser, base, size, **options)))
            return taken[-1]

        yield take
        assert [problem for one in taken for problem in one.problems] == []


@pytest.fixture(scope="session")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """API, broker and a worker; keys are off."""
    with Cluster(tmp_path_factory.mktemp("open"), workers=1) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def keyed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The same with an administrator's key and a project's."""
    keys = {"TEXTMILL_ADMIN_KEY": ADMIN_KEY, "TEXTMILL_API_KEYS": PROJECT_KEY}
    with Cluster(tmp_path_factory.mktemp("keyed"), workers=1, **keys) as cluster:
        yield cluster
