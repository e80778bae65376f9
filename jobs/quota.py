"""How much one owner may have queued: documents, their work, and interactive ones. Pure policy.

Interactive work is a budget: beyond it a job is taken as bulk, and says so. Beyond the bounds of
all that is queued it is refused, for now, or for good when it would never fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from jobs.errors import Overloaded, PayloadTooLarge
from jobs.records import Priority
from jobs.settings import Settings

_RETRY_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class Queued:
    """What an owner has open, or what a job would add."""

    documents: int = 0
    tokens: int = 0  #: of work, as `jobs/estimate` counts it
    interactive_documents: int = 0


@dataclass(frozen=True, kw_only=True)
class Quota:
    """The bounds of one owner."""

    documents: int
    tokens: int
    interactive_documents: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the settings say."""
        return cls(
            documents=settings.max_owner_documents,
            tokens=settings.max_owner_tokens,
            interactive_documents=settings.max_interactive_documents,
        )

    def check(self, queued: Queued, more: Queued) -> None:
        """Whether an owner who has so much queued may add so much more.

        Raises:
            PayloadTooLarge: it is more than an owner may ever have queued.
            Overloaded: it is too much on top of what is queued.
        """
        for what, has, adds, most in (
            ("documents", queued.documents, more.documents, self.documents),
            ("tokens of work", queued.tokens, more.tokens, self.tokens),
        ):
            setting = "TEXTMILL_MAX_OWNER_" + what.split()[0].upper()
            if adds > most:
                raise PayloadTooLarge(
                    f"the job has {adds} {what}; one owner may have {most} queued ({setting}): send fewer"
                )
            if has + adds > most:
                raise Overloaded(
                    f"{has} {what} of yours are queued and this job has {adds}; one owner may have {most} "
                    f"({setting}): wait until some are done, or cancel jobs",
                    retry_after_seconds=_RETRY_SECONDS,
                )

    def priority_for(self, wanted: Priority, queued: Queued, num_documents: int) -> Priority:
        """The priority that a job of so many documents gets."""
        is_within = queued.interactive_documents + num_documents <= self.interactive_documents
        return wanted if is_within else Priority.BULK
