"""The one connection to Redis on which all calls of this process are told what becomes of them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from jobs.redis_url import client_url
from jobs.settings import Settings
from jobs.watching import Channels, Told

_log = logging.getLogger(__name__)
#: A call waits so long until it is heard on the line; then it goes on without.
_PATIENCE_SECONDS = 0.5
_AWAY_SECONDS = 1.0


class Watch:
    """What is told to one call."""

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self.is_live = False  #: whether Redis has us as a listener
        self._told: list[Told] = []
        self._changed = asyncio.Event()

    async def news(self, seconds: float) -> list[Told]:
        """What came since the last call; waits for it, but no longer than that."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)
        self._changed.clear()
        told, self._told = self._told, []
        return told

    async def begin(self, seconds: float) -> None:
        """Waits until it is live; of a job that is not there yet, nothing else can be told."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)
        self._changed.clear()

    def note(self, *, is_live: bool, told: Told | None = None) -> None:
        """Called by the line."""
        self.is_live = is_live
        if told is not None:
            self._told.append(told)
        self._changed.set()


class Line:
    """Connects with the first watch; where Redis is away, watches are silent, and connected again later."""

    def __init__(self, settings: Settings, redis: Redis | None) -> None:
        """Connects to nothing.

        Args:
            settings: of the process.
            redis: the broker; None: one that cannot publish.
        """
        self._settings = settings
        self._redis = redis
        self._watches: dict[str, Watch] = {}
        self._pubsub: PubSub | None = None  # once it is connected
        self._reader: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def watch(self, job_id: str, *, wants_text: bool) -> Watch:
        """Listens to a job, which need not be there yet."""
        channels = Channels.of(self._settings, job_id)
        watch = Watch(channels.text if wants_text else channels.end)
        if self._redis is None:
            return watch
        self._watches[watch.channel] = watch
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read(self._redis), name="line")
        if self._pubsub is not None:
            with contextlib.suppress(RedisError, OSError):  # the reader meets the same, and connects again
                await self._pubsub.subscribe(watch.channel)
        await watch.begin(_PATIENCE_SECONDS)
        return watch

    def forget(self, watch: Watch) -> None:
        """Listens no longer."""
        if self._watches.pop(watch.channel, None) is not None and self._pubsub is not None:
            self.soon(self._unsubscribe(self._pubsub, watch.channel))

    def soon(self, work: Coroutine[Any, Any, None]) -> None:
        """Runs something that a request which ends now cannot wait for."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Finishes what goes on, and ends the connection."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)
        if self._redis is not None:
            await self._redis.aclose()

    async def _read(self, redis: Redis) -> None:
        while True:
            pubsub = redis.pubsub()
            try:
                # The connection stays ours however few calls there are.
                await pubsub.subscribe(f"{self._settings.key_prefix}watch:")
                self._pubsub = pubsub
                if self._watches:
                    await pubsub.subscribe(*self._watches)
                while True:
                    self._hand_on(await pubsub.get_message(timeout=None))
            except (RedisError, OSError) as error:
                _log.warning("nothing_is_heard: Redis does not answer: %s", type(error).__name__)
            finally:
                self._pubsub = None
                for watch in self._watches.values():
                    watch.note(is_live=False)
                with contextlib.suppress(RedisError, OSError):
                    await pubsub.aclose()  # type: ignore[no-untyped-call]
            await asyncio.sleep(_AWAY_SECONDS)

    def _hand_on(self, message: dict[str, Any] | None) -> None:
        watch = self._watches.get(message["channel"].decode()) if message is not None else None
        if message is None or watch is None:
            return
        if message["type"] == "subscribe":
            watch.note(is_live=True)
        elif message["type"] == "message":
            try:
                watch.note(is_live=True, told=Told.decode(message["data"]))
            except ValueError:
                _log.warning("not_understood: a message of a watch")

    @staticmethod
    async def _unsubscribe(pubsub: PubSub, channel: str) -> None:
        with contextlib.suppress(RedisError, OSError):
            await pubsub.unsubscribe(channel)


def open_line(settings: Settings) -> Line:
    """The line of these settings; Redis is first asked by the first call."""
    url = client_url(settings.broker)
    if not url.startswith(("redis://", "rediss://", "unix://")):
        return Line(settings, None)
    redis = Redis.from_url(
        url,
        socket_timeout=_PATIENCE_SECONDS,
        socket_connect_timeout=_PATIENCE_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    return Line(settings, redis)
