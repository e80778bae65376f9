"""Calls in a minute, of a key and of its project: counted in Redis, in this process while Redis is away."""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from limits import RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage, Storage
from limits.strategies import SlidingWindowCounterRateLimiter
from redis.backoff import NoBackoff
from redis.retry import Retry

from jobs.keys import Caller
from jobs.redis_url import client_url
from jobs.settings import Settings

_log = logging.getLogger(__name__)
#: A call waits so long for Redis at most; then it is counted here, and Redis left alone for a while.
_PATIENCE_SECONDS = 0.25
_AWAY_SECONDS = 5.0
_WINDOW_SECONDS = 60


@dataclass(frozen=True, kw_only=True)
class Window:
    """How one limit stands after a call."""

    name: str
    limit: int
    remaining: int
    reset_seconds: int
    is_kept: bool  #: False: the call is one too many


class RequestLimits:
    """Counts calls. Thread-safe."""

    def __init__(self, shared: Storage | None, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Counts nothing yet.

        Args:
            shared: where all processes count together; None: this process by itself.
            clock: for tests: replaces `time.monotonic`.
        """
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared = None if shared is None else SlidingWindowCounterRateLimiter(shared)
        self._clock = clock
        self._try_again_at = 0.0
        self._lock = threading.Lock()

    def count(self, caller: Caller, limits: Mapping[str, int]) -> list[Window]:
        """Counts a call against the limits of its key and of its project, tightest first.

        A call that one limit refuses is not counted against the next.
        """
        windows: list[Window] = []
        for name, of in (("key_requests_per_minute", caller.key_id), ("requests_per_minute", caller.owner)):
            if name in limits:
                windows.append(self._hit(name, limits[name], str(of)))
                if not windows[-1].is_kept:
                    break
        return sorted(windows, key=lambda window: (window.is_kept, window.remaining))

    def _hit(self, name: str, limit: int, of: str) -> Window:
        if self._shared is not None and self._clock() >= self._try_again_at:
            try:
                return _hit(self._shared, name, limit, of)
            except StorageError as error:
                with self._lock:
                    self._try_again_at = self._clock() + _AWAY_SECONDS
                cause = error.__cause__ or error
                _log.warning("requests_are_counted_here: Redis does not answer: %s", type(cause).__name__)
        return _hit(self._own, name, limit, of)


def _hit(limiter: SlidingWindowCounterRateLimiter, name: str, limit: int, of: str) -> Window:
    item = RateLimitItemPerMinute(limit)
    is_kept = limiter.hit(item, name, of)
    stats = limiter.get_window_stats(item, name, of)
    reset_seconds = min(_WINDOW_SECONDS, max(1, math.ceil(stats.reset_time - time.time())))
    return Window(
        name=name,
        limit=limit,
        remaining=max(0, stats.remaining),
        reset_seconds=reset_seconds,
        is_kept=is_kept,
    )


def open_request_limits(settings: Settings) -> RequestLimits:
    """The counter of these settings; Redis is first asked when something is counted."""
    url = client_url(settings.broker)
    if not url.startswith(("redis://", "rediss://", "unix://")):
        return RequestLimits(None)
    storage = RedisStorage(
        url.replace("unix://", "redis+unix://", 1),
        key_prefix=f"{settings.key_prefix}limits",
        wrap_exceptions=True,
        socket_timeout=_PATIENCE_SECONDS,
        socket_connect_timeout=_PATIENCE_SECONDS,
        retry=Retry(NoBackoff(), 0),  # type: ignore[arg-type]  # for redis-py, which takes it
    )
    return RequestLimits(storage)


def headers_of(windows: list[Window]) -> dict[str, str]:
    """`RateLimit-Policy` and `RateLimit` of the IETF's draft (draft-ietf-httpapi-ratelimit-headers-10)."""
    if not windows:
        return {}
    return {
        "RateLimit-Policy": ", ".join(f'"{w.name}";q={w.limit};w={_WINDOW_SECONDS}' for w in windows),
        "RateLimit": ", ".join(f'"{w.name}";r={w.remaining};t={w.reset_seconds}' for w in windows),
    }
