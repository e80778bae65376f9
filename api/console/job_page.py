"""A job's own page: what its address asks for, its results and every link among them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, field_validator

from api.console import words
from api.console.job_list import ADDRESS, Link
from api.console.job_view import JobView
from api.console.reasons import FailurePanel
from api.console.result_view import ResultView
from jobs.records import DocumentStatus, ResultFilter, ResultPage

PAGE_SIZE = 20
_MOST_SEQ = 2**31 - 1
Status = Literal["succeeded", "failed", "cancelled", "expired"]


class PageQuery(BaseModel):
    """Which results are shown."""

    model_config = ConfigDict(extra="ignore")

    status: Status | None = None
    after: Annotated[int, Field(ge=-1, le=_MOST_SEQ)] = -1
    row: Annotated[int | None, Field(ge=1, le=_MOST_SEQ)] = None  #: counted from 1; in place of `after`

    @field_validator("status", "row", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return value or None

    @property
    def behind(self) -> int:
        """The seq behind which results are shown."""
        return self.after if self.row is None else self.row - 2

    @property
    def only(self) -> ResultFilter:
        """The filter, for the ledger."""
        return ResultFilter(statuses=frozenset({DocumentStatus(self.status)} if self.status else ()))


@dataclass(frozen=True)
class Download:
    """A file to take along."""

    word: str
    hint: str
    address: str


@dataclass(frozen=True, kw_only=True)
class JobPage:
    """Everything on the page."""

    view: JobView
    version: int
    query: PageQuery
    found: ResultPage
    results: list[ResultView]
    failures: FailurePanel
    record: list[tuple[str, str]]

    @property
    def address(self) -> str:
        """Of the page."""
        return f"{ADDRESS}/{self.view.id}"

    @property
    def status(self) -> str:
        """The filter; empty: all."""
        return self.query.status or ""

    def _results(self, **asked: Any) -> str:
        kept = {name: value for name, value in asked.items() if value not in (None, "")}
        return f"{self.address}?{urlencode(kept)}" if kept else self.address

    @property
    def chips(self) -> list[Link]:
        """Results by status; those that there are."""
        counts = self.view.counts
        settled = counts.succeeded + counts.failed + counts.cancelled + counts.expired
        links = [Link("All", self._results(), is_on=not self.status, count=settled)]
        for name in ("succeeded", "failed", "cancelled", "expired"):
            count = getattr(counts, name)
            if count or name == self.status:
                link = Link(
                    name.capitalize(), self._results(status=name), is_on=name == self.status, count=count
                )
                links.append(link)
        return links

    @property
    def waits(self) -> bool:
        """Whether the next document in order is not done yet."""
        return self.found.is_open_next

    @property
    def next(self) -> str | None:
        """The results behind these."""
        if not self.found.has_more or self.found.is_open_next:
            return None
        return self._results(status=self.status, after=self.found.rows[-1].seq)

    @property
    def previous(self) -> str | None:
        """The first results; pages are not walked backwards."""
        return self._results(status=self.status) if self.query.behind >= 0 else None

    @property
    def first_row(self) -> int:
        """Where the page begins."""
        return self.found.rows[0].seq + 1 if self.found.rows else max(1, self.query.behind + 2)

    @property
    def footing(self) -> str:
        """Which rows these are."""
        if not self.found.rows:
            return "No rows here"
        first, last = self.found.rows[0].seq + 1, self.found.rows[-1].seq + 1
        return f"Rows {first:,} to {last:,} of {self.view.counts.total:,}"

    @property
    def downloads(self) -> list[Download]:
        """Each format, and what failed by itself."""
        counts = self.view.counts
        settled = counts.succeeded + counts.failed + counts.cancelled + counts.expired
        rows = words.counted(settled, "row")
        links = [
            Download("JSON lines", rows, f"{self.address}/results?format=jsonl"),
            Download("CSV", rows, f"{self.address}/results?format=csv"),
            Download("CSV for spreadsheets", rows, f"{self.address}/results?format=csv&spreadsheet=true"),
        ]
        if counts.failed:
            failed = f"{self.address}/results?format=jsonl&status=failed"
            links.append(Download("Failed ones, JSON lines", words.counted(counts.failed, "row"), failed))
        return links

    @property
    def cancel_words(self) -> str:
        """What becomes of each kind of document."""
        counts = self.view.counts
        done = counts.succeeded + counts.failed
        return (
            f"{counts.queued:,} waiting documents will not run, and the {counts.running:,} that run now are "
            f"dropped. The {done:,} results so far stay and can be downloaded."
        )
