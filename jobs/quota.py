"""How much one owner may have in the ledger: documents, their work, interactive ones, bytes. Pure policy.

Interactive work is a budget: beyond it a job is taken as bulk, and says so. Beyond the bounds of
all that is queued it is refused, for now, or for good when it would never fit. The settings bound
everybody; a project's own limits (`jobs/limits`) stand in their place.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from jobs.errors import Overloaded, OverQuota, PayloadTooLarge
from jobs.records import Priority
from jobs.settings import Settings

_RETRY_SECONDS = 30
_NO_LIMITS: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """What an owner has in the ledger, or what a job would add."""

    queued_documents: int = 0  #: of open jobs, without an outcome
    queued_tokens: int = 0  #: the work in them, as `jobs/estimate` counts it
    interactive_documents: int = 0
    stored_bytes: int = 0  #: of the documents of all jobs


@dataclass(frozen=True, kw_only=True)
class _Bound:
    what: str
    held: int
    adds: int
    most: int
    name: str  #: of the setting or the limit that moves it


class Quota:
    """The bounds of one owner."""

    def __init__(self, settings: Settings, limits: Mapping[str, int] = _NO_LIMITS) -> None:
        """As the settings say, and for a project its own limits."""
        self._most = {
            "queued_documents": settings.max_owner_documents,
            "queued_tokens": settings.max_owner_tokens,
            "interactive_documents": settings.max_interactive_documents,
            **limits,
        }
        self._names = {
            "queued_documents": "TEXTMILL_MAX_OWNER_DOCUMENTS",
            "queued_tokens": "TEXTMILL_MAX_OWNER_TOKENS",
            **{name: f"the project's limit {name}" for name in limits},
        }

    @property
    def bounds_bytes(self) -> bool:
        """Whether it matters how much is stored."""
        return "stored_bytes" in self._most

    def check(self, held: Holdings, more: Holdings) -> None:
        """Whether an owner who has so much may add so much more.

        Raises:
            PayloadTooLarge: it is more than an owner may ever have.
            Overloaded: it fits when some of what is queued is done.
            OverQuota: it fits when some jobs are deleted.
        """
        for bound in self._bounds(held, more):
            if bound.adds > bound.most:
                raise PayloadTooLarge(
                    f"the job has {bound.adds} {bound.what}; you may have {bound.most} at a time "
                    f"({bound.name}): send fewer"
                )
            if bound.held + bound.adds <= bound.most:
                continue
            if bound.what == "bytes":
                raise OverQuota(
                    f"{bound.held} bytes of documents are stored for you and this job has {bound.adds}; "
                    f"you may have {bound.most} ({bound.name}): delete finished jobs"
                )
            raise Overloaded(
                f"{bound.held} {bound.what} of yours are queued and this job has {bound.adds}; "
                f"you may have {bound.most} ({bound.name}): wait until some are done, or cancel jobs",
                retry_after_seconds=_RETRY_SECONDS,
            )

    def priority_for(self, wanted: Priority, held: Holdings, num_documents: int) -> Priority:
        """The priority that a job of so many documents gets."""
        is_within = held.interactive_documents + num_documents <= self._most["interactive_documents"]
        return wanted if is_within else Priority.BULK

    def _bounds(self, held: Holdings, more: Holdings) -> Iterator[_Bound]:
        for what, measure in (
            ("documents", "queued_documents"),
            ("tokens of work", "queued_tokens"),
            ("bytes", "stored_bytes"),
        ):
            if measure in self._most:
                yield _Bound(
                    what=what, held=getattr(held, measure), adds=getattr(more, measure),
                    most=self._most[measure], name=self._names[measure],
                )  # fmt: skip
