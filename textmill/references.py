"""How people name a job: by its id or how that begins, by the name they gave it, or as `last`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

from textmill.errors import AmbiguousJob, NoSuchJob, UnreadableInput
from textmill.views import JobView

LAST = "last"
_ID_BEGINS = "job_"
_WHOLE_ID = re.compile(r"job_[0-9a-f]{32}")
_MOST_CHARACTERS = 200
_SHOWN = 3

#: Jobs that the server lists for a query, newest first.
Listing = Callable[[Mapping[str, Any]], Iterator[JobView]]


def resolve(reference: str, listing: Listing, *, is_unique: bool = False) -> str:
    """The id of the job that is meant. A whole id is taken as it is, and asks the server nothing.

    Args:
        reference: What the user wrote.
        listing: Asks the server.
        is_unique: Refuses a name that several jobs have; otherwise the newest of them is meant.

    Raises:
        UnreadableInput: nothing that could name a job.
        NoSuchJob: no job is called so.
        AmbiguousJob: several ids begin so, or several jobs have the name.
    """
    if not reference.strip() or len(reference) > _MOST_CHARACTERS:
        raise UnreadableInput(f"{reference[:80]!r} names no job: give an id, its beginning, a name, or last")
    if _WHOLE_ID.fullmatch(reference):
        return reference
    if reference == LAST:
        return _first(listing({"limit": 1}), "there are no jobs yet: `textmill submit FILE` makes one")
    if reference.startswith(_ID_BEGINS):
        found = listing({"prefix": reference, "limit": _SHOWN + 1})
        return _only(found, "no job's id begins with", "the ids of several jobs begin with", reference)
    found = listing({"name": reference, "limit": _SHOWN + 1})
    missing = "`textmill jobs` lists them all; none is called"
    if is_unique:
        return _only(found, missing, "several jobs are called", reference)
    return _first(found, f"{missing} {reference!r}")


def _first(found: Iterator[JobView], missing: str) -> str:
    job = next(found, None)
    if job is None:
        raise NoSuchJob(missing)
    return job.id


def _only(found: Iterator[JobView], missing: str, several: str, reference: str) -> str:
    first = _first(found, f"{missing} {reference!r}")
    others = [job.id for job in islice(found, _SHOWN)]
    if others:
        shown = [first, *others]
        more = ", ..." if len(shown) > _SHOWN else ""
        raise AmbiguousJob(f"{several} {reference!r}: {', '.join(shown[:_SHOWN])}{more}; name one of them")
    return first
