"""A broker's address as redis-py spells it."""

from __future__ import annotations

import pytest

from jobs.redis_url import client_url


@pytest.mark.parametrize(
    ("celery_url", "expected"),
    [
        ("redis://h:1/2", "redis://h:1/2"),
        ("rediss://h", "rediss://h"),
        ("redis+socket:///run/b.sock", "unix:///run/b.sock?db=0"),
        ("redis+socket:///run/b.sock?virtual_host=3", "unix:///run/b.sock?db=3"),
    ],
)
def test_only_sockets_are_spelt_otherwise(celery_url: str, expected: str) -> None:
    assert client_url(celery_url) == expected
