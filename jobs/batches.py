"""Batches: jobs as OpenAI's clients see them, and those that never became one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from jobs.errors import RequestError
from jobs.records import DocumentStatus, Job, NewBatch, new_job_id

_JOB, _BATCH = "job_", "batch_"


class BatchNotFound(RequestError):
    """There is no such batch."""

    http_status = 404
    code = "batch_not_found"


class Half(StrEnum):
    """The two files that a batch ends with."""

    OUTPUT = "output"  #: the requests that succeeded
    ERRORS = "errors"  #: all others

    @property
    def statuses(self) -> frozenset[DocumentStatus]:
        """Of the documents in it."""
        succeeded = {DocumentStatus.SUCCEEDED}
        if self is Half.OUTPUT:
            return frozenset(succeeded)
        return frozenset(set(DocumentStatus) - succeeded - {DocumentStatus.OPEN})


@dataclass(frozen=True, kw_only=True)
class LineProblem:
    """Why a batch cannot be run; `line` counts from 1, None: it is about the whole file."""

    code: str
    message: str
    param: str | None = None
    line: int | None = None


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A batch as it stood at one moment. Times are aware and in UTC."""

    id: str
    owner: str
    asked: NewBatch
    created_at: datetime
    job: Job | None  #: None: it was refused, for these problems
    problems: tuple[LineProblem, ...] = ()
    has_results: bool = False  #: False: they were deleted, and the job is as it was then
    sizes: Mapping[Half, int] = field(default_factory=dict)  #: bytes of the files, once they were counted
    gone: frozenset[Half] = frozenset()  #: files that were deleted

    def num_results(self, half: Half) -> int:
        """Requests in one of its files, which it has once it has ended."""
        if self.job is None or not self.job.status.is_final:
            return 0
        return sum(int(getattr(self.job.counts, status)) for status in half.statuses)

    def has_file(self, half: Half) -> bool:
        """Whether that file can be read."""
        return self.has_results and half not in self.gone and self.num_results(half) > 0


def batch_id_of(job_id: str) -> str:
    """A batch and its job have one id but for the beginning."""
    return _BATCH + job_id.removeprefix(_JOB)


def new_batch_id() -> str:
    """For a batch without a job; sorted among the others."""
    return batch_id_of(new_job_id())


def result_file_id(batch_id: str, half: Half) -> str:
    """The id of one of a batch's files."""
    return f"file-{batch_id.removeprefix(_BATCH)}-{half}"


def parse_result_file_id(file_id: str) -> tuple[str, Half] | None:
    """The inverse: the batch and which of its files; None: it is no such id."""
    core, _, half = file_id.removeprefix("file-").rpartition("-")
    if not core or half not in set(Half):
        return None
    return _BATCH + core, Half(half)


def problem_of(value: Mapping[str, Any]) -> LineProblem:
    """A problem as it was kept."""
    return LineProblem(**value)
