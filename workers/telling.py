"""Tells those who watch a job what becomes of it: a thread of its own, so that nobody waits for Redis."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from jobs.redis_url import client_url
from jobs.settings import Settings
from jobs.watching import Channels
from workers.watched import Watched

_log = logging.getLogger(__name__)
#: Whoever claims a slice waits so long for Redis at most; then it is left alone for a while.
_PATIENCE_SECONDS = 0.25
_AWAY_SECONDS = 5.0
#: How often is asked who still listens, and what could not be said is said again.
_LOOK_SECONDS = 1.0


class Teller:
    """Publishes; starts with its first watched job."""

    def __init__(self, settings: Settings, redis: Redis | None, *, on_death: Callable[[], None]) -> None:
        """Connects to nothing.

        Args:
            settings: of the process.
            redis: the broker; None: one that cannot publish, and nobody is ever told.
            on_death: ends the process when the thread dies of what nobody foresaw.
        """
        self._settings = settings
        self._redis = redis
        self._on_death = on_death
        self._try_again_at = 0.0
        self._due: queue.SimpleQueue[Watched] = queue.SimpleQueue()
        self._watched: set[Watched] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def watched(self, job_id: str, attempt: int) -> Watched | None:
        """A job somebody watches now; None: nobody does, or Redis does not say."""
        if self._redis is None or time.monotonic() < self._try_again_at:
            return None
        channels = Channels.of(self._settings, job_id)
        try:
            num_text, num_end = self._num_listeners([channels.text, channels.end])
        except (RedisError, OSError) as error:
            self._leave_alone(error)
            return None
        if not num_text + num_end:
            return None
        watched = Watched(
            channels.text if num_text else channels.end,
            attempt,
            wants_text=num_text > 0,
            on_news=self._due.put,
        )
        with self._lock:
            self._watched.add(watched)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="teller", daemon=True)
                self._thread.start()
        return watched

    def _run(self) -> None:
        try:
            look_at = time.monotonic() + _LOOK_SECONDS
            while True:
                try:
                    self._tell(self._due.get(timeout=max(0.0, look_at - time.monotonic())))
                except queue.Empty:
                    self._look()
                    look_at = time.monotonic() + _LOOK_SECONDS
        except BaseException:
            _log.exception("teller_died")
            self._on_death()
            raise

    def _tell(self, watched: Watched) -> None:
        """Publishes what is new; what reaches nobody is kept, and said once somebody listens again."""
        assert self._redis is not None  # else nothing is watched
        told = watched.take()
        if told is not None and not watched.is_deserted and time.monotonic() >= self._try_again_at:
            try:
                num_reached = int(self._redis.publish(watched.channel, told.encode()))
            except (RedisError, OSError) as error:
                self._leave_alone(error)
            else:
                watched.note_listeners(num_reached)
                if num_reached:
                    told = None
        if told is not None:
            watched.put_back(told)
        if watched.is_over:
            with self._lock:
                self._watched.discard(watched)

    def _look(self) -> None:
        """Who is still listened to; what could not be said is tried again."""
        with self._lock:
            watched = list(self._watched)
        if not watched or time.monotonic() < self._try_again_at:
            return
        try:
            counts = self._num_listeners([each.channel for each in watched])
        except (RedisError, OSError) as error:
            self._leave_alone(error)
            return
        for each, count in zip(watched, counts, strict=True):
            each.note_listeners(count)
            if count and each.has_news:
                self._tell(each)

    def _num_listeners(self, channels: Sequence[str]) -> list[int]:
        assert self._redis is not None  # else nobody asks
        return [int(count) for _, count in self._redis.pubsub_numsub(*channels)]

    def _leave_alone(self, error: Exception) -> None:
        self._try_again_at = time.monotonic() + _AWAY_SECONDS
        _log.warning("nobody_is_told: Redis does not answer: %s", type(error).__name__)


def open_teller(settings: Settings, *, on_death: Callable[[], None]) -> Teller:
    """The teller of these settings."""
    url = client_url(settings.broker)
    if not url.startswith(("redis://", "rediss://", "unix://")):
        return Teller(settings, None, on_death=on_death)
    redis = Redis.from_url(
        url,
        socket_timeout=_PATIENCE_SECONDS,
        socket_connect_timeout=_PATIENCE_SECONDS,
        retry=Retry(NoBackoff(), 0),
    )
    return Teller(settings, redis, on_death=on_death)
