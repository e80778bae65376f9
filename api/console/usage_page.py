"""What projects have used, by day: figures, a chart with its table, and a line for each project or key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_validator

from api.console import words
from api.console.overview import Figure
from jobs import jsontext
from jobs.records import Usage

_SPANS = (7, 30, 90)
_SHOWN_DAYS = 14
_AMOUNTS = ("jobs", "documents", "succeeded", "failed", "input_tokens", "output_tokens", "stored_bytes")


class UsageQuery(BaseModel):
    """How many days, up to today."""

    model_config = ConfigDict(extra="ignore")

    days: Literal[7, 30, 90] = 30

    @field_validator("days", mode="before")
    @classmethod
    def _unknown_is_a_month(cls, value: Any) -> Any:
        return int(value) if str(value) in {str(span) for span in _SPANS} else 30

    @property
    def first(self) -> date:
        """In UTC, as usage is counted."""
        return datetime.now(UTC).date() - timedelta(days=self.days - 1)

    @property
    def begin(self) -> datetime:
        """The first moment of it."""
        return datetime.combine(self.first, datetime.min.time(), UTC)


@dataclass(frozen=True)
class UsageLine:
    """What one project or key used."""

    name: str
    detail: str
    usage: Usage
    most_tokens: int

    @property
    def tokens(self) -> int:
        """Read and written."""
        return tokens_of(self.usage)

    @property
    def share(self) -> float:
        """Percent of the line with the most."""
        return round(100 * self.tokens / self.most_tokens, 2) if self.most_tokens else 0.0


@dataclass(frozen=True)
class UsagePage:
    """Of one project, or of all."""

    query: UsageQuery
    by_day: Mapping[date, Usage]
    lines: Sequence[UsageLine]
    grouped_by: str  #: Project or Key

    @property
    def days(self) -> list[date]:
        """All of them, with those on which nothing was."""
        return [self.query.first + timedelta(days=n) for n in range(self.query.days)]

    @property
    def headline(self) -> str:
        """Which days."""
        return f"{_day(self.days[0])} to {_day(self.days[-1])}, days in UTC, by when jobs came in"

    @property
    def figures(self) -> list[Figure]:
        """Sums."""
        used = list(self.by_day.values())
        documents = sum(usage.documents for usage in used)
        failed = sum(usage.failed for usage in used)
        read, written = sum(u.input_tokens for u in used), sum(u.output_tokens for u in used)
        stored = sum(usage.stored_bytes for usage in used)
        jobs = sum(usage.jobs for usage in used)
        share = words.percent(failed, documents) if documents else "0 %"
        return [
            Figure("Tokens", words.short(read + written), context=f"{read:,} in, {written:,} out"),
            Figure("Documents", words.short(documents), context=f"in {words.counted(jobs, 'job')}"),
            Figure("Failed", share, context=words.counted(failed, "document")),
            Figure("Sent", words.size(stored), context="as JSON, of jobs that are still there"),
        ]

    @property
    def chart(self) -> str:
        """For the script: tokens a day, read and written."""
        used = [self.by_day.get(day) for day in self.days]
        midnights = [datetime.combine(day, datetime.min.time(), UTC).timestamp() for day in self.days]
        series = [
            {"name": "read", "color": "--c1", "values": [of.input_tokens if of else 0 for of in used]},
            {"name": "written", "color": "--c2", "values": [of.output_tokens if of else 0 for of in used]},
        ]
        return jsontext.dumps({"kind": "days", "xs": midnights, "series": series}).decode()

    @property
    def table(self) -> list[tuple[str, Usage]]:
        """The last days on which there was something, newest first."""
        found = [(_day(day), self.by_day[day]) for day in reversed(self.days) if day in self.by_day]
        return found[:_SHOWN_DAYS]

    @property
    def spans(self) -> list[tuple[int, bool]]:
        """How many days may be looked at."""
        return [(span, span == self.query.days) for span in _SPANS]


def usage_page(query: UsageQuery, found: Sequence[Usage], keys: Mapping[str, str], *, by: str) -> UsagePage:
    """From sums of the ledger, which are read once for both views of them.

    Args:
        query: Which days.
        found: A sum for each day and project, or day and key.
        keys: Names of keys by their ids.
        by: project or key.
    """
    by_day, by_name = _summed(found, "day"), _summed(found, by)
    most = max((tokens_of(usage) for usage in by_name.values()), default=0)
    lines = [
        UsageLine(*_named(usage, by, keys), usage, most)
        for usage in sorted(by_name.values(), key=tokens_of, reverse=True)
    ]
    return UsagePage(query, by_day, lines, by.capitalize())


def _summed(found: Sequence[Usage], by: str) -> dict[Any, Usage]:
    """One sum for each value of a field."""
    sums: dict[Any, Usage] = {}
    for usage in found:
        value = getattr(usage, by)
        before = sums.get(value)
        amounts = {name: getattr(usage, name) + (getattr(before, name) if before else 0) for name in _AMOUNTS}
        sums[value] = Usage(**amounts, **{by: value})
    return sums


def tokens_of(usage: Usage) -> int:
    """Read and written."""
    return usage.input_tokens + usage.output_tokens


def _named(usage: Usage, by: str, keys: Mapping[str, str]) -> tuple[str, str]:
    if by == "project":
        return usage.project or "", words.counted(usage.jobs, "job")
    if usage.key is None:
        return "without a key", words.counted(usage.jobs, "job")
    return keys.get(usage.key, usage.key), words.counted(usage.jobs, "job")


def _day(day: date) -> str:
    return f"{day.day} {day:%b %Y}"
