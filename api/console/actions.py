"""What the console does to jobs, and how it says what became of it.

What was done travels to the next page as a word and two numbers of its address: a page must show no text
that somebody put into a link.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from api.console import words
from api.context import Context
from jobs.errors import IllegalTransition, JobNotFound

MOST_AT_A_TIME = 100
DELETED = "delete.1.0"  #: of one job
_SAID = re.compile(r"(cancel|retry|delete)\.(\d{1,4})\.(\d{1,4})")
#: What was done; why it was not.
_VERBS = {
    "cancel": ("cancelled", "had ended already"),
    "retry": ("retried", "still run, or have nothing to retry"),
    "delete": ("deleted", "still run: cancel them first"),
}


@dataclass(frozen=True)
class Said:
    """A line about what just happened."""

    text: str
    kind: str  #: a class of the note


def act(context: Context, verb: str, job_ids: Sequence[str], *, owner: str | None) -> str:
    """Does it to each of the jobs that allow it; what to say of it, for the next address.

    Args:
        context: Of the app.
        verb: cancel, retry or delete.
        job_ids: `MOST_AT_A_TIME` of them are looked at.
        owner: Whose jobs; None: an administrator's choice among all.
    """
    done = refused = 0
    for job_id in job_ids[:MOST_AT_A_TIME]:
        try:
            _do(context, verb, job_id, context.store.owner_of(job_id) if owner is None else owner)
            done += 1
        except (IllegalTransition, JobNotFound):
            refused += 1
    return f"{verb}.{done}.{refused}"


def _do(context: Context, verb: str, job_id: str, owner: str) -> None:
    if verb == "cancel":
        context.store.cancel(job_id, owner=owner)
    elif verb == "delete":
        context.store.delete(job_id, owner=owner)
    else:
        context.store.retry(job_id, owner=owner)
        context.sender.send_soon(job_id)


def said(code: str) -> Said | None:
    """The line that a word of the address stands for; None: it stands for none."""
    found = _SAID.fullmatch(code)
    if found is None:
        return None
    verb, done, refused = found[1], int(found[2]), int(found[3])
    was, why = _VERBS[verb]
    parts = [f"{words.counted(done, 'job')} {was}"] if done or not refused else []
    parts += [f"{words.counted(refused, 'job')} {why}"] if refused else []
    return Said("; ".join(parts) + ".", "warn" if refused else "good")
