"""The console's one stream for all pages of a browser, and downloads for those who are signed in."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.sse import format_sse_event

from api.console.feed import Change, Follower
from api.console.job_list import ADDRESS
from api.console.job_view import JobView
from api.console.pages import PageRoute, part
from api.console.visitor import JobOwnerDep, Visitor, VisitorDep
from api.context import KEY_LOOK_SECONDS, Context, ContextDep, in_thread
from api.routes.results import ResultQuery, get_results
from api.streams import Stream
from jobs import jsontext

router = APIRouter(include_in_schema=False, route_class=PageRoute)
#: Of one stream: pages of a browser share it, and its address must fit a request's head.
MOST_FOLLOWED = 300
_MOST_DIGITS = 18
_QUIET_SECONDS = 15.0  # a comment line at least this often, so that proxies keep the link
_PARTS = {"row": "parts/job_row.html", "page": "parts/job_progress.html", "run": "parts/run_row.html"}
_MACROS = {"row": "job_row", "page": "job_progress", "run": "run_row"}


async def place(context: ContextDep, visitor: VisitorDep) -> AsyncIterator[None]:
    """A place among the streams, held until the last byte is sent."""
    with context.streams.taken(visitor.caller.owner):
        yield


_STREAMED = Depends(place)


@router.get("/console/events", dependencies=[_STREAMED])
async def events(
    context: ContextDep,
    visitor: VisitorDep,
    row: str = "",
    page: str = "",
    run: str = "",
    newest: str | None = None,
) -> Stream:
    """Changes of the jobs that pages show: `ID.VERSION`, comma between, by the kind of part that shows them.

    `newest` is the last job that pages know of: of one that comes in later they are told.
    """
    shown = {"row": _versions(row), "page": _versions(page), "run": _versions(run)}
    seen = {job_id: version for of_kind in shown.values() for job_id, version in of_kind.items()}
    follower = Follower(visitor.owner, dict(list(seen.items())[:MOST_FOLLOWED]))
    follower.newest = newest or await in_thread(context.console.view.newest, owner=visitor.owner)
    kinds = {kind: frozenset(of_kind) for kind, of_kind in shown.items()}
    return Stream(
        _changes(context, visitor, follower, kinds),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
    )


@router.get(ADDRESS + "/{job_id}/results", dependencies=[_STREAMED])
async def download(
    job_id: str,
    context: ContextDep,
    visitor: VisitorDep,
    owner: JobOwnerDep,
    query: Annotated[ResultQuery, Query()],
) -> Stream:
    """The same file as of the API, for a browser that is signed in."""
    return await get_results(job_id, context, visitor.caller, owner, query)


def _versions(listed: str) -> dict[str, int]:
    pairs = (entry.rpartition(".") for entry in listed.split(",") if entry)
    return {job_id: _number(version) for job_id, _, version in pairs}


def _number(digits: str) -> int:
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= _MOST_DIGITS else 0


async def _changes(
    context: Context, visitor: Visitor, follower: Follower, kinds: dict[str, frozenset[str]]
) -> AsyncIterator[bytes]:
    yield format_sse_event(comment="here", retry=2000)
    spoken = time.monotonic()
    with context.console.feed.following(follower):
        while await in_thread(context.keys.holds, visitor.caller):
            if await follower.wait(KEY_LOOK_SECONDS):
                changes, has_newer = follower.take()
                for change in changes:
                    yield _told(change, kinds, shows_project=visitor.owner is None)
                if (moment := follower.take_moment()) is not None:
                    yield format_sse_event(event="moment", data_str=jsontext.dumps(asdict(moment)).decode())
                if has_newer:
                    yield format_sse_event(event="newer", data_str="{}")
                spoken = time.monotonic()
            elif time.monotonic() - spoken >= _QUIET_SECONDS:
                yield format_sse_event(comment="still here")
                spoken = time.monotonic()


def _told(change: Change, kinds: dict[str, frozenset[str]], *, shows_project: bool) -> bytes:
    """The parts of pages that show this job, as they are now."""
    view = JobView(change.job)
    parts = {}
    for kind, shown in kinds.items():
        if view.id in shown:
            more = (shows_project,) if kind == "row" else ()
            parts[kind] = part(_PARTS[kind], _MACROS[kind], view, change.version, *more)
    data = {"id": view.id, "version": change.version, "parts": parts}
    return format_sse_event(event="job", data_str=jsontext.dumps(data).decode())
