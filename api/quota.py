"""Whether a project has room for what it submits."""

from __future__ import annotations

from api.context import Context
from jobs.errors import Overloaded, OverQuota, PayloadTooLarge
from jobs.keys import Caller, shown_project

_RETRY_SECONDS = 30


def refuse_beyond_limits(
    context: Context, caller: Caller, *, num_documents: int = 1, stored_bytes: int = 1
) -> None:
    """Asks before a body is read, and again when it is known what is in it; waits for the database.

    Raises:
        PayloadTooLarge: it would not fit if the project had nothing else.
        Overloaded: it fits when some documents are settled.
        OverQuota: it fits when some jobs are deleted.
    """
    limits = caller.limits
    most_documents, most_bytes = limits.get("queued_documents"), limits.get("stored_bytes")
    if most_documents is None and most_bytes is None:
        return
    project = f"project {shown_project(caller.owner)!r}"
    for name, asked, most in (
        ("documents", num_documents, most_documents),
        ("bytes", stored_bytes, most_bytes),
    ):
        if most is not None and asked > most:
            raise PayloadTooLarge(f"{asked} {name} are more than {project} may have at a time: {most}")
    held = context.store.holdings(caller.owner)
    if most_documents is not None and held.queued_documents + num_documents > most_documents:
        context.metrics.rejected.labels("project_overloaded").inc()
        raise Overloaded(
            f"{project} has {held.queued_documents} documents waiting and may have {most_documents}",
            retry_after_seconds=_RETRY_SECONDS,
        )
    if most_bytes is not None and held.stored_bytes + stored_bytes > most_bytes:
        context.metrics.rejected.labels("over_quota").inc()
        raise OverQuota(
            f"{project} stores {held.stored_bytes} bytes of documents and may store {most_bytes}: "
            "delete finished jobs"
        )
