"""The body of a request while it arrives, with an end to its bytes and to our patience."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator

import anyio.from_thread

from jobs.errors import PayloadTooLarge, UploadStalled

#: A body of so many bytes is in memory before anybody works on it; a larger one comes in
#: pieces of at least so many: what is done once a piece must not be done once a byte.
PIECE_BYTES = 64 << 10
#: Slower than this on average, beyond the first patience, and it is no upload.
_LEAST_BYTES_A_SECOND = 1000


class Receiver:
    """Reads a body on the event loop; hands it on there, or to a thread.

    Only the time spent waiting for the client counts against it, not what we need to
    read what it sent.

    Args:
        stream: The chunks as the server receives them.
        max_bytes: The body may have so many.
        idle_seconds: Patience with a client that sends nothing.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        stream: AsyncIterator[bytes],
        *,
        max_bytes: int,
        idle_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream
        self._max_bytes = max_bytes
        self._idle_seconds = idle_seconds
        self._clock = clock
        self._num_bytes = 0
        self._waited_seconds = 0.0
        self._first = b""
        #: whether the last byte has come
        self.is_complete = False

    async def begin(self) -> None:
        """Waits for the first piece: all of a small body.

        Raises:
            PayloadTooLarge: more bytes than allowed; they are not read to the end.
            UploadStalled: the client sends nothing, or next to nothing.
            ClientDisconnect: it has left.
        """
        self._first = await self._piece()

    def chunks(self) -> Iterator[bytes]:
        """The body, for a thread of a pool; once. Raises what `begin` does."""
        if self._first:
            yield self._first
        while not self.is_complete:
            if piece := anyio.from_thread.run(self._piece):
                yield piece

    async def chunks_here(self) -> AsyncGenerator[bytes, None]:
        """The body, on the event loop; once. Raises what `begin` does."""
        if self._first:
            yield self._first
        while not self.is_complete:
            if piece := await self._piece():
                yield piece

    async def _piece(self) -> bytes:
        """Small chunks put together."""
        piece = bytearray()
        while len(piece) < PIECE_BYTES and not self.is_complete:
            piece += await self._chunk()
        return bytes(piece)

    async def _chunk(self) -> bytes:
        allowed_seconds = self._idle_seconds + self._num_bytes / _LEAST_BYTES_A_SECOND - self._waited_seconds
        started_at = self._clock()
        try:
            async with asyncio.timeout(max(0.0, min(self._idle_seconds, allowed_seconds))):
                chunk = await anext(self._stream, None)
        except TimeoutError:
            raise UploadStalled(
                f"{self._num_bytes} bytes of the body came, then nothing for too long (patience: "
                f"{self._idle_seconds:g} s, and {_LEAST_BYTES_A_SECOND} bytes a second); send it again"
            ) from None
        self._waited_seconds += self._clock() - started_at
        self.is_complete = chunk is None
        self._num_bytes += len(chunk or b"")
        if self._num_bytes > self._max_bytes:
            raise PayloadTooLarge(f"the body is larger than {self._max_bytes} bytes")
        return chunk or b""
