"""How much one owner may have queued: documents, their work, and interactive ones. Pure policy.

Interactive work is a budget: beyond it a job is taken as bulk, and says so. Beyond the bounds of
all that is queued it is refused, for now, or for good when it would never fit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from jobs.errors import Overloaded, OverQuota, PayloadTooLarge
from jobs.records import Priority
from jobs.settings import Settings

_RETRY_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class Queued:
    """What an owner has open, or what a job would add."""

    documents: int = 0
    tokens: int = 0  #: of work, as `jobs/estimate` counts it
    interactive_documents: int = 0
    stored_bytes: int = 0  #: of all documents, settled ones as well, until their jobs are deleted


@dataclass(frozen=True, kw_only=True)
class Quota:
    """The bounds of one owner."""

    documents: int
    tokens: int
    interactive_documents: int
    stored_bytes: int | None = None  #: None: as much as there is room for

    @classmethod
    def of(cls, settings: Settings, limits: Mapping[str, int]) -> Self:
        """As the settings say, but for what the owner's own limits name (`jobs/limits`)."""
        return cls(
            documents=limits.get("queued_documents", settings.max_owner_documents),
            tokens=limits.get("queued_tokens", settings.max_owner_tokens),
            interactive_documents=limits.get("interactive_documents", settings.max_interactive_documents),
            stored_bytes=limits.get("stored_bytes"),
        )

    def check(self, queued: Queued, more: Queued) -> None:
        """Whether an owner who has so much queued may add so much more.

        Raises:
            PayloadTooLarge: it is more than an owner may ever have queued.
            Overloaded: it is too much on top of what is queued.
            OverQuota: it is too much on top of what is stored.
        """
        for what, has, adds, most in (
            ("documents", queued.documents, more.documents, self.documents),
            ("tokens of work", queued.tokens, more.tokens, self.tokens),
        ):
            name = what.split()[0]
            setting = f"TEXTMILL_MAX_OWNER_{name.upper()}, or queued_{name} of the project"
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

        self.check_store(queued, more)

    def check_store(self, queued: Queued, more: Queued, *, noun: str = "job") -> None:
        """Whether an owner may store so much more; `noun` is what would be stored.

        Raises:
            PayloadTooLarge: never.
            OverQuota: not now.
        """
        if self.stored_bytes is None or queued.stored_bytes + more.stored_bytes <= self.stored_bytes:
            return
        if more.stored_bytes > self.stored_bytes:
            raise PayloadTooLarge(
                f"the {noun} has {more.stored_bytes} bytes; your project may store "
                f"{self.stored_bytes} (stored_bytes): send fewer"
            )
        raise OverQuota(
            f"your project stores {queued.stored_bytes} bytes and may store "
            f"{self.stored_bytes} (stored_bytes): delete finished jobs, or files"
        )

    def priority_for(self, wanted: Priority, queued: Queued, num_documents: int) -> Priority:
        """The priority that a job of so many documents gets."""
        is_within = queued.interactive_documents + num_documents <= self.interactive_documents
        return wanted if is_within else Priority.BULK
