"""Redis as the teller of a worker sees it: who listens, and what was published."""

from __future__ import annotations

from typing import Any

from redis.exceptions import ConnectionError as RedisGone

from jobs.settings import Settings
from jobs.watching import Told
from workers.telling import Teller


class FakeRedis:
    """Publish and subscribe of Redis, for one process."""

    def __init__(self) -> None:
        self.listeners: dict[str, int] = {}
        self.heard: list[tuple[str, Told]] = []
        self.is_away = False
        self.num_asked = 0

    def pubsub_numsub(self, *channels: str) -> list[tuple[bytes, int]]:
        self._answer()
        return [(channel.encode(), self.listeners.get(channel, 0)) for channel in channels]

    def publish(self, channel: str, data: bytes) -> int:
        self._answer()
        if self.listeners.get(channel):
            self.heard.append((channel, Told.decode(data)))
        return self.listeners.get(channel, 0)

    @property
    def text(self) -> str:
        """All that was heard, put together."""
        return "".join(told.text for _, told in self.heard)

    def _answer(self) -> None:
        self.num_asked += 1
        if self.is_away:
            raise RedisGone("away")


def teller_on(redis: Any) -> Teller:
    """A teller that publishes there."""
    return Teller(Settings(), redis, on_death=lambda: None)


def nobody_is_told() -> Teller:
    """A teller whose broker cannot publish."""
    return teller_on(None)
