"""What a project has at this moment, beside what it may have: for `/v1/usage` and the console."""

from __future__ import annotations

from dataclasses import dataclass

from api.context import Context
from jobs.keys import Caller
from jobs.limits import LIMITS
from jobs.quota import Quota

#: Limits of calls: they are counted by the minute, and nothing is held of them.
_OF_CALLS = ("requests_per_minute", "key_requests_per_minute")


@dataclass(frozen=True, kw_only=True)
class Holding:
    """One measure."""

    name: str  #: as in `jobs/limits`
    held: int | None  #: None: nothing is held of it
    most: int | None  #: None: there is no limit


def holdings(context: Context, caller: Caller, owner: str) -> list[Holding]:
    """Every measure, with the limits in force; waits for the database.

    An administrator looks at a project whose own limits may be others: none are told.
    """
    held = context.store.queued(owner=owner)
    now = {
        "queued_documents": held.documents,
        "queued_tokens": held.tokens,
        "interactive_documents": held.interactive_documents,
        "stored_bytes": context.store.stored_bytes(owner=owner),
    }
    most = {} if caller.is_admin else _limits(context, caller)
    return [
        Holding(name=name, held=now.get(name), most=most.get(name))
        for name in LIMITS
        if name in now or name in most
    ]


def _limits(context: Context, caller: Caller) -> dict[str, int]:
    """By name: those of the project, and the server's where it has none."""
    quota = Quota.of(context.settings, caller.limits)
    most = {
        **{name: caller.limits[name] for name in _OF_CALLS if name in caller.limits},
        "queued_documents": quota.documents,
        "queued_tokens": quota.tokens,
        "interactive_documents": quota.interactive_documents,
    }
    return most if quota.stored_bytes is None else {**most, "stored_bytes": quota.stored_bytes}
