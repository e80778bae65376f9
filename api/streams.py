"""Answers that are sent while they are made."""

from __future__ import annotations

import logging

from fastapi.responses import StreamingResponse
from starlette.types import Send

from jobs.errors import TextmillError

_log = logging.getLogger(__name__)


class Stream(StreamingResponse):
    """Breaks off where what it is made of fails: its client gets no last chunk, and the log one line.

    Its job may be deleted or retried, its key revoked, the database gone: none of it is an error
    of this process. What nobody foresaw is raised, as everywhere.
    """

    async def stream_response(self, send: Send) -> None:
        """Sends the parts. When it returns without the last one, the server closes the connection."""
        try:
            await super().stream_response(send)
        except TextmillError as error:
            _log.warning("stream_broken: %s: %s", error.code, error)
