from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.fake_server import FakeServer
from textmill.client import Textmill


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def rests() -> list[float]:
    """Every pause the client made, in seconds; none really happens."""
    return []


@pytest.fixture
def client(server: FakeServer, rests: list[float]) -> Iterator[Textmill]:
    with Textmill("http://textmill.test", "key-1", transport=server.transport, sleep=rests.append) as client:
        yield client
