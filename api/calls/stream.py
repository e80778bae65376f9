"""The answer of a call while it is made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from starlette.types import Receive, Scope, Send

from api.streams import Stream


class CallStream(Stream):
    """Events; however it ends, by its last byte or because the client has left, somebody is told."""

    def __init__(self, events: AsyncIterator[bytes], *, on_end: Callable[[], None]) -> None:
        super().__init__(
            events,
            media_type="text/event-stream",
            headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )
        self._on_end = on_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._on_end()
