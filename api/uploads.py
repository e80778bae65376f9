"""Submissions while they arrive: with threads and places of their own, so that they hold up nobody else."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

import anyio.to_thread
from fastapi import Request

from api.places import Places
from api.receiving import Receiver
from jobs.errors import PayloadTooLarge
from jobs.settings import Settings

T = TypeVar("T")
#: Small bodies are in memory before they get a thread; so many are stored at a time.
_SMALL_AT_A_TIME = 16


class Uploads:
    """Takes bodies in.

    A body of up to 64 KiB takes no thread and no place while it arrives, however slowly.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._places = Places(
            "uploads", total=settings.max_uploads, per_owner=per_owner(settings, settings.max_uploads_per_key)
        )
        self._threads = anyio.CapacityLimiter(settings.max_uploads + _SMALL_AT_A_TIME)

    @asynccontextmanager
    async def receive(
        self, request: Request, owner: str, *, max_bytes: int | None = None
    ) -> AsyncIterator[Receiver]:
        """The body; a large one holds a place until it is stored. `max_bytes`: other than any body may have.

        Raises:
            Overloaded: there are as many large ones as may be.
            PayloadTooLarge, UploadStalled, ClientDisconnect: see `Receiver`.
        """
        limit = max_bytes or self._settings.max_body_bytes
        announced = request.headers.get("content-length", "")
        if announced.isdecimal() and int(announced[:20]) > limit:
            raise PayloadTooLarge(f"the body is larger than {limit} bytes")
        receiver = Receiver(request.stream(), max_bytes=limit, idle_seconds=self._settings.idle_seconds)
        await receiver.begin()
        with nullcontext() if receiver.is_complete else self._places.taken(owner):
            yield receiver

    async def in_thread(self, work: Callable[..., T], *args: object) -> T:
        """Runs what stores a submission; it may wait for the client, which no other thread should."""
        return await anyio.to_thread.run_sync(partial(work, *args), limiter=self._threads)


def per_owner(settings: Settings, per_key: int) -> int:
    """What one owner may take: without keys all are one owner."""
    return per_key if settings.has_keys else 2**31


def new_spool(folder: Path, *, memory_bytes: int) -> IO[bytes]:
    """A nameless file that only its owner can read; nothing is left of it after a crash."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return tempfile.SpooledTemporaryFile(max_size=memory_bytes, dir=str(folder))


def spool_folder(settings: Settings) -> Path:
    """Where the bodies of submissions lie while they are read."""
    return settings.data / "uploads"
