"""What every request may use, built once per app; typed dependencies for the routes."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from api.calls.line import Line
from api.console.parts import Console
from api.metrics import Metrics
from api.openai.in_flight import InFlight
from api.places import Places
from api.rates import Rates
from api.request_limits import RequestLimits, headers_of
from api.uploads import Uploads
from api.waiting import ChangeNotifier
from jobs.catalogue import Catalogue
from jobs.errors import KeysAreOff, NotAllowed, NotAuthenticated, TooManyRequests
from jobs.keys import Caller, project_of
from jobs.records import Job
from jobs.sender import Sender
from jobs.settings import Settings
from jobs.store.batch_book import BatchBook
from jobs.store.file_book import FileBook
from jobs.store.interface import Store
from jobs.store.key_book import KeyBook, OpenHouse
from jobs.store.webhook_book import WebhookBook

T = TypeVar("T")
#: Of bodies that are read whole, before anybody is asked for a key: all but submissions.
SMALL_BODY_BYTES = 64 << 10
#: What is open for long looks so often whether the key holds that opened it.
KEY_LOOK_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True)
class Context:
    """The parts of the API process."""

    settings: Settings
    catalogue: Catalogue
    store: Store
    keys: KeyBook | OpenHouse
    sender: Sender
    rates: Rates
    metrics: Metrics
    changes: ChangeNotifier
    uploads: Uploads
    streams: Places
    requests: RequestLimits
    files: FileBook
    batches: BatchBook
    webhooks: WebhookBook
    creating: InFlight
    line: Line
    console: Console
    check_broker: Callable[[], None]


async def in_thread(work: Callable[..., T], *args: object, **options: object) -> T:
    """Runs a call that waits (for SQL, Redis, files) beside the event loop."""
    return await run_in_threadpool(work, *args, **options)


def _context(request: Request) -> Context:
    context: Context = request.app.state.context
    return context


def _identified(request: Request) -> Caller | None:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return _context(request).keys.identify(given.strip() if scheme.lower() == "bearer" else None)


def _caller(request: Request) -> Caller:
    """Who asks, by the key of the request; without keys everybody is of the default project."""
    caller = _identified(request)
    if caller is None:
        raise NotAuthenticated
    count_call(request, caller)
    return caller


def count_call(request: Request, caller: Caller) -> None:
    """Counts a call against the limits of its key and its project. Raises TooManyRequests."""
    windows = _context(request).requests.count(caller, caller.limits)
    request.state.rate_limit = headers_of(windows)
    if windows and not windows[0].is_kept:
        tightest = windows[0]
        raise TooManyRequests(
            f"{tightest.limit} calls a minute are allowed ({tightest.name})",
            retry_after_seconds=tightest.reset_seconds,
        )


def _is_known(request: Request) -> bool:
    """Whether the caller may call at all: what operators see is shown to nobody else."""
    return _identified(request) is not None


ContextDep = Annotated[Context, Depends(_context)]
CallerDep = Annotated[Caller, Depends(_caller)]


def _owner(request: Request, context: ContextDep, caller: CallerDep) -> str:
    """The project that a call is about: the caller's own; for an administrator that of the job it names."""
    if caller.is_admin and (job_id := request.path_params.get("job_id")):
        return context.store.owner_of(job_id)
    return caller.owner


def _reach(caller: CallerDep, project: str | None = None) -> str | None:
    """The project whose jobs a list holds; None: every one, for an administrator who names none."""
    if caller.is_admin:
        return None if project is None else project_of(project)
    if project is not None and project_of(project) != caller.owner:
        raise NotAllowed("this key sees the jobs of its own project only")
    return caller.owner


def _administered(context: ContextDep, caller: CallerDep) -> KeyBook:
    """Projects and keys, for an administrator."""
    if isinstance(context.keys, OpenHouse):
        raise KeysAreOff
    if not caller.is_admin:
        raise NotAllowed
    return context.keys


def acting_for(context: Context, caller: Caller, project: str | None) -> Caller:
    """Who something is for: an administrator may submit for any project. Raises NotAllowed."""
    if project is None or project_of(project) == caller.owner:
        return caller
    if not caller.is_admin or isinstance(context.keys, OpenHouse):
        raise NotAllowed("this key acts for its own project only")
    return Caller(project=project_of(context.keys.project(project).name), key_id=caller.key_id)


async def wait_for_change(context: Context, caller: Caller, job: Job, seconds: float) -> Job:
    """As `ChangeNotifier.wait`, for a key that holds all the while.

    Raises:
        NotAuthenticated: it was revoked meanwhile; said within `KEY_LOOK_SECONDS`.
    """
    until = time.monotonic() + seconds
    while True:
        left = until - time.monotonic()
        changed = await context.changes.wait(job, min(left, KEY_LOOK_SECONDS))
        if not await in_thread(context.keys.holds, caller):
            raise NotAuthenticated
        if changed.version != job.version or changed.status.is_final or left <= KEY_LOOK_SECONDS:
            return changed


def while_key_holds(context: Context, caller: Caller, pages: Iterator[T]) -> Iterator[T]:
    """The pages of a long answer, which breaks off when its key is revoked.

    Raises:
        NotAuthenticated: it was revoked meanwhile.
    """
    for number, page in enumerate(pages):
        if number and not context.keys.holds(caller):
            raise NotAuthenticated
        yield page


async def _stream_place(context: ContextDep, caller: CallerDep) -> AsyncIterator[None]:
    """A place among the streams, held until the last byte is sent."""
    with context.streams.taken(caller.owner):
        yield


#: For routes whose answers may take long.
STREAMED = Depends(_stream_place)
KnownDep = Annotated[bool, Depends(_is_known)]
OwnerDep = Annotated[str, Depends(_owner)]
ReachDep = Annotated[str | None, Depends(_reach)]
KeyBookDep = Annotated[KeyBook, Depends(_administered)]
