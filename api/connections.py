"""Connections at a time are bounded, and none is kept for a client that asks for nothing.

uvicorn bounds what it answers, not what it accepts: sockets that never send a request would
use up the process's file descriptors, and then nobody is heard any more. Its own protocol is
kept; only the coming, the waiting and the stalling of connections are looked after here.
"""

from __future__ import annotations

import asyncio
import resource
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from jobs.settings import Settings

#: Whoever takes nothing of an answer for so long is not reading any more.
STALLED_SECONDS = 600.0
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Retry-After: 5\r\nConnection: close\r\nContent-Length: 29\r\n\r\nToo many connections are open\n"
)


class BoundedProtocol(H11Protocol):
    """A connection that gives way: when all are taken, the one that waits longest without a request goes.

    Args:
        most: Connections at a time.
        idle_seconds: Patience until the head of a request is complete, and until the rest of
            a body that was refused has come.
        **options: As uvicorn gives them to its own.
    """

    def __init__(self, *, most: int, idle_seconds: float, **options: Any) -> None:
        super().__init__(**options)
        self._most = most
        self._idle_seconds = idle_seconds
        self._since = self.loop.time()
        self._patience: asyncio.TimerHandle | None = None
        self._stall: asyncio.TimerHandle | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether no request is being answered here."""
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Makes room for the new one, or turns it away when every other is at work."""
        super().connection_made(transport)
        self._be_patient()
        others = [c for c in self.connections if c is not self and not c.transport.is_closing()]
        if len(others) < self._most:
            return
        waiting = [c for c in others if isinstance(c, BoundedProtocol) and c.is_waiting]
        if waiting:
            min(waiting, key=lambda c: c._since).transport.close()
        else:
            transport.write(_FULL)
            transport.close()

    def data_received(self, data: bytes) -> None:
        """Limits the time that a head may take, however it dribbles in."""
        super().data_received(data)
        if not self.is_waiting:
            self._forget_patience()
        elif self._patience is None:
            self._be_patient()

    def on_response_complete(self) -> None:
        """From here on the connection waits again; uvicorn's keep-alive ends the quiet ones."""
        self._since = self.loop.time()
        super().on_response_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing fires any more."""
        self._forget_patience()
        self.resume_writing()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client reads more slowly than we write, or not at all."""
        super().pause_writing()
        self._stall = self._stall or self.loop.call_later(STALLED_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """It reads."""
        super().resume_writing()
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def _be_patient(self) -> None:
        self._patience = self.loop.call_later(self._idle_seconds, self._give_up)

    def _forget_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _give_up(self) -> None:
        self._patience = None
        if self.is_waiting:
            self.transport.close()


def most_connections(settings: Settings) -> int:
    """The setting, or half of the file descriptors: the rest is for files and the database.

    The soft limit of this process is raised to the hard one first.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return (
        settings.max_connections
        if hard == resource.RLIM_INFINITY
        else min(settings.max_connections, hard // 2)
    )


def backlog_of(most: int) -> int:
    """Connections that are accepted in one go: few beside those that may be open."""
    return max(8, min(128, most // 8))
