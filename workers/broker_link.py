"""What a worker does over a link to Redis that is gone."""

from __future__ import annotations

from typing import Any

from kombu.transport import redis
from redis.exceptions import ConnectionError as LinkLost


class _Channel(redis.Channel):
    """A channel whose closed link is a lost connection, not an AttributeError.

    When Redis dies under load, messages are confirmed and handed back over the channel that Celery has
    just closed. Lost connections are foreseen there; of anything else the whole worker ends.
    """

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        if self.connection is None or self.connection.client is None:
            raise LinkLost("the link to Redis is closed")
        found: dict[str, Any] = super()._connparams(asynchronous)
        return found


def survive_a_lost_redis() -> None:
    """From now on channels of this process are such."""
    redis.Transport.Channel = _Channel
