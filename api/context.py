"""What every request may use, built once per app; typed dependencies for the routes."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from api.metrics import Metrics
from api.places import Places
from api.rates import Rates
from api.uploads import Uploads
from api.waiting import ChangeNotifier
from jobs.catalogue import Catalogue
from jobs.errors import NotAuthenticated
from jobs.sender import Sender
from jobs.settings import Settings
from jobs.store.interface import Store

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Context:
    """The parts of the API process."""

    settings: Settings
    catalogue: Catalogue
    store: Store
    sender: Sender
    rates: Rates
    metrics: Metrics
    changes: ChangeNotifier
    uploads: Uploads
    streams: Places
    check_broker: Callable[[], None]


async def in_thread(work: Callable[..., T], *args: object, **options: object) -> T:
    """Runs a call that waits (for SQL, Redis, files) beside the event loop."""
    return await run_in_threadpool(work, *args, **options)


def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


def _owner(request: Request) -> str:
    """The fingerprint of the caller's key; empty when keys are off."""
    keys = _context(request).settings.api_keys
    if not keys:
        return ""
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        for key in keys:
            if hmac.compare_digest(key.get_secret_value().encode(), given.strip().encode()):
                return hashlib.sha256(given.strip().encode()).hexdigest()[:32]
    raise NotAuthenticated


def _is_known(request: Request) -> bool:
    """Whether the caller may call at all: what operators see is shown to nobody else."""
    try:
        _owner(request)
    except NotAuthenticated:
        return False
    return True


async def _stream_place(
    context: Annotated[Context, Depends(_context)], owner: Annotated[str, Depends(_owner)]
) -> AsyncIterator[None]:
    """A place among the streams, held until the last byte is sent."""
    with context.streams.taken(owner):
        yield


#: For routes whose answers may take long.
STREAMED = Depends(_stream_place)
ContextDep = Annotated[Context, Depends(_context)]
KnownDep = Annotated[bool, Depends(_is_known)]
OwnerDep = Annotated[str, Depends(_owner)]
