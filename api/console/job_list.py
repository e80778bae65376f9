"""The list of jobs: what its address asks for, and the page of jobs with every link on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, field_validator

from api.console import words
from api.console.job_view import TASKS, JobView
from jobs.listing import JobOrder, JobSearch, JobsFound
from jobs.records import JobStatus, Task

ADDRESS = "/console/jobs"
PAGE_SIZE = 25
_MOST_CHARACTERS = 200
#: Tabs by their name in the address: the word, and the statuses that they hold.
_TABS: dict[str, tuple[str, tuple[JobStatus, ...]]] = {
    "": ("All", ()),
    "running": ("Running", (JobStatus.RUNNING, JobStatus.CANCELLING)),
    "waiting": ("Waiting", (JobStatus.QUEUED,)),
    "completed": ("Completed", (JobStatus.COMPLETED,)),
    "failed": ("Failed", (JobStatus.FAILED,)),
    "stopped": ("Stopped", (JobStatus.CANCELLED, JobStatus.EXPIRED)),
    "failures": ("With failures", ()),
}
_UNFINISHED = (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.CANCELLING)


class ListQuery(BaseModel):
    """What the address of a list asks for. What it does not know is as if it were not there."""

    model_config = ConfigDict(extra="ignore")

    q: Annotated[str, Field(max_length=_MOST_CHARACTERS)] = ""
    show: str = ""
    task: Task | None = None
    model: Annotated[str, Field(max_length=_MOST_CHARACTERS)] = ""
    sort: JobOrder = JobOrder.NEWEST
    after: str | None = None
    before: str | None = None

    @field_validator("task", mode="before")
    @classmethod
    def _empty_is_none(cls, value: Any) -> Any:
        return value or None

    @field_validator("q", "model")
    @classmethod
    def _is_storable(cls, value: str) -> str:
        return value.replace("\0", "").strip()

    @property
    def search(self) -> JobSearch:
        """The same for the ledger."""
        return JobSearch(
            words=self.q,
            statuses=frozenset(_TABS.get(self.show, _TABS[""])[1]),
            task=self.task,
            model=self.model or None,
            has_failures=self.show == "failures",
            order=self.sort,
        )

    @property
    def is_filtered(self) -> bool:
        """Whether jobs may be missing from the list."""
        return bool(self.q or self.show or self.task or self.model)

    def address(self, **changes: Any) -> str:
        """Of this list, changed; without cursors, unless they are given."""
        asked = {**self.model_dump(mode="json", exclude={"after", "before"}), **changes}
        if asked["sort"] == JobOrder.NEWEST:
            del asked["sort"]
        kept = {name: str(value) for name, value in asked.items() if value}
        return f"{ADDRESS}?{urlencode(kept)}" if kept else ADDRESS


@dataclass(frozen=True)
class Link:
    """A filter that may be chosen."""

    word: str
    address: str
    is_on: bool = False
    count: int | None = None


@dataclass(frozen=True)
class Column:
    """A heading by which the list may be sorted."""

    address: str
    direction: str  #: as `aria-sort` has it; empty: by another column


@dataclass(frozen=True)
class JobList:
    """One page of the list."""

    query: ListQuery
    jobs: list[JobView]
    found: JobsFound
    counts: Mapping[JobStatus, int]
    models: list[str]  #: that are served

    @property
    def total(self) -> int:
        """All jobs that there are."""
        return sum(self.counts.values())

    @property
    def headline(self) -> str:
        """How many there are, and how many go on."""
        unfinished = sum(self.counts.get(status, 0) for status in _UNFINISHED)
        return f"{words.counted(self.total, 'job')}, {unfinished:,} unfinished"

    @property
    def tabs(self) -> list[Link]:
        """By status, with how many there are."""
        query = self.query
        return [
            Link(word, query.address(show=name), is_on=name == query.show, count=self._count(name, statuses))
            for name, (word, statuses) in _TABS.items()
        ]

    def _count(self, name: str, statuses: tuple[JobStatus, ...]) -> int | None:
        if name == "failures":
            return None
        return sum(self.counts.get(status, 0) for status in statuses) if statuses else self.total

    @property
    def task_links(self) -> list[Link]:
        """Tasks to choose from."""
        here = self.query.task
        return [Link(word, self.query.address(task=task), is_on=task == here) for task, word in TASKS.items()]

    @property
    def model_links(self) -> list[Link]:
        """Models to choose from."""
        here = self.query.model
        return [Link(name, self.query.address(model=name), is_on=name == here) for name in self.models]

    @property
    def columns(self) -> dict[str, Column]:
        """What sorts, by its name in the template."""
        query, sort = self.query, self.query.sort
        is_oldest = sort is JobOrder.OLDEST
        age = {JobOrder.NEWEST: "ascending", JobOrder.OLDEST: "descending"}.get(sort, "")
        return {
            "age": Column(
                query.address(sort=JobOrder.NEWEST if is_oldest or not age else JobOrder.OLDEST), age
            ),
            "documents": _largest_first(query, JobOrder.LARGEST),
            "failed": _largest_first(query, JobOrder.MOST_FAILED),
        }

    @property
    def newer(self) -> str | None:
        """The page before this one."""
        return self.query.address(before=self.found.before) if self.found.before else None

    @property
    def older(self) -> str | None:
        """The page behind it."""
        return self.query.address(after=self.found.after) if self.found.after else None

    @property
    def footing(self) -> str:
        """How much of the list this page is."""
        if self.found.looked_at:
            return f"{len(self.jobs):,} found among {self.found.looked_at:,} jobs; there are older ones"
        return words.counted(len(self.jobs), "job") + " on this page"


def _largest_first(query: ListQuery, order: JobOrder) -> Column:
    is_here = query.sort is order
    return Column(query.address(sort=JobOrder.NEWEST if is_here else order), "descending" if is_here else "")
