"""Whether there is room for what somebody submits: in the whole queue, and in what is theirs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

from api.context import Context
from jobs.errors import Overloaded, OverQuota
from jobs.keys import Caller
from jobs.quota import Holdings, Quota
from jobs.records import NewJob

_RETRY_SECONDS = 30


def refuse_overload(context: Context, caller: Caller) -> None:
    """Before the body is read: not even one document more would be taken.

    Raises:
        Overloaded: too much is queued, by all or by this caller's project.
        OverQuota: the project stores as much as it may.
    """
    most = context.settings.max_queued_documents
    quota = Quota(context.settings, caller.limits)
    with _counting_refusals(context):
        if context.store.backlog()["open_documents"] >= most:
            raise Overloaded(f"{most} documents are waiting already", retry_after_seconds=_RETRY_SECONDS)
        quota.check(_held(context, caller, quota), Holdings(queued_documents=1, stored_bytes=1))


def within_quota(context: Context, caller: Caller, job: NewJob, num_documents: int) -> NewJob:
    """The job as its owner may have it: as bulk when the interactive budget is used up.

    Raises:
        Overloaded: the owner has too much queued.
        OverQuota: the owner has too much stored.
        PayloadTooLarge: the owner may never have so much.
    """
    quota = Quota(context.settings, caller.limits)
    held = _held(context, caller, quota)
    more = Holdings(
        queued_documents=num_documents, queued_tokens=job.estimated_tokens, stored_bytes=job.stored_bytes
    )
    with _counting_refusals(context):
        quota.check(held, more)
    return dataclasses.replace(job, priority=quota.priority_for(job.priority, held, num_documents))


def _held(context: Context, caller: Caller, quota: Quota) -> Holdings:
    return context.store.holdings(caller.owner, with_bytes=quota.bounds_bytes)


@contextmanager
def _counting_refusals(context: Context) -> Iterator[None]:
    try:
        yield
    except Overloaded:
        context.metrics.rejected.labels("overloaded").inc()
        raise
    except OverQuota:
        context.metrics.rejected.labels("over_quota").inc()
        raise
