"""Why documents failed, in words for people, and whether a retry can help."""

from __future__ import annotations

from dataclasses import dataclass

from api.console import words
from jobs.listing import FailureGroup, Failures
from jobs.records import Job

_AGAIN = "Retrying them as they are will fail again."
_LIKELY = "A retry is likely to succeed."
#: By code: what happened, and what a retry would do.
_REASONS = {
    "too_long": ("Longer than the model reads", _AGAIN),
    "invalid_parameter": ("A parameter the model does not take", _AGAIN),
    "not_suited": ("Not for this model", _AGAIN),
    "not_finite": ("The model computed no number", _AGAIN),
    "document_error": ("The model could not compute them", _AGAIN),
    "quarantined": ("They ended their worker again and again", "They were set aside. " + _AGAIN),
    "worker_lost": ("Their worker was lost", _LIKELY),
    "out_of_memory": ("Not enough memory on the device", "A retry succeeds where more memory is free."),
    "cannot_load": ("The model could not be loaded", "A retry succeeds once the model is mended."),
    "cannot_load_now": ("The model could not be loaded just then", _LIKELY),
    "model_error": ("The model failed", "The server's log says why."),
    "engine_broken": ("The model failed", "The server's log says why."),
}


def word_of(code: str) -> str:
    """What happened, for people."""
    return _REASONS.get(code, (code.replace("_", " ").capitalize() or "Failed", ""))[0]


@dataclass(frozen=True)
class Reason:
    """One group of failures."""

    group: FailureGroup

    @property
    def word(self) -> str:
        """What happened."""
        return word_of(self.group.code)

    @property
    def hint(self) -> str:
        """Whether a retry can help; empty where nobody knows."""
        return _REASONS.get(self.group.code, ("", ""))[1]


@dataclass(frozen=True)
class FailurePanel:
    """All groups of a job."""

    reasons: list[Reason]
    note: str  #: how many of how many


def failure_panel(job: Job, found: Failures) -> FailurePanel:
    """The groups, with how large a part of the job failed."""
    computed = job.counts.computed
    note = f"{job.counts.failed:,} of {computed:,}, {words.percent(job.counts.failed, computed)}"
    if not found.is_whole:
        note += f"; reasons of the first {found.looked_at:,}"
    return FailurePanel(reasons=[Reason(group) for group in found.groups], note=note)
