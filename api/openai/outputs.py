"""The two files that a batch ends with, made from the ledger while they are sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from api.openai.answers import Answered
from api.openai.endpoints import ENDPOINTS, MIXED
from api.openai.errors import error_body, status_of_failure
from api.result_files import one_line
from api.result_reading import answer
from jobs.batches import Batch, BatchNotFound, Half, parse_result_file_id, result_file_id
from jobs.files import FileNotFound, Place
from jobs.records import DocumentStatus, Job, ResultFilter, ResultRow
from jobs.store.batch_book import BatchBook
from jobs.store.interface import Store

_NEVER_RUN = {
    DocumentStatus.EXPIRED: (
        "batch_expired", "This request could not be executed before the completion window expired.",
    ),
    DocumentStatus.CANCELLED: (
        "batch_cancelled", "This request was not executed: the batch was cancelled before.",
    ),
}  # fmt: skip


@dataclass(frozen=True)
class ResultFile:
    """One of the two."""

    batch: Batch
    half: Half

    @property
    def id(self) -> str:
        """As clients name it."""
        return result_file_id(self.batch.id, self.half)

    @property
    def filename(self) -> str:
        """As it would be saved."""
        return f"{self.batch.id}_{self.half}.jsonl"

    @property
    def job(self) -> Job:
        """Whose results it holds."""
        assert self.batch.job is not None  # only a job has results
        return self.batch.job

    @property
    def created_at(self) -> datetime:
        """When the batch ended."""
        assert self.job.finished_at is not None  # `Batch.has_file`
        return self.job.finished_at

    @property
    def expires_at(self) -> datetime | None:
        """When the results will be deleted."""
        seconds = self.batch.asked.results_seconds
        return None if seconds is None else self.created_at + timedelta(seconds=seconds)

    @property
    def place(self) -> Place:
        """Where it stands in lists."""
        return Place(seconds=self.created_at.timestamp(), file_id=self.id)

    def lines(self, store: Store) -> Iterator[list[bytes]]:
        """Its lines, a page at a time; waits for the database.

        Raises:
            ResultsChanged: the job was retried meanwhile.
        """
        only = ResultFilter(statuses=self.half.statuses)
        found = answer(store, self.job, after=-1, limit=None, only=only, has_gaps=False)
        for rows in found.pages:
            yield [one_line(output_line(self.batch, row)) for row in rows]


def result_file(batches: BatchBook, file_id: str, *, owner: str) -> ResultFile | None:
    """The file of that id; None: it is an id of another kind.

    Raises:
        FileNotFound: there is no such file, or no more.
    """
    named = parse_result_file_id(file_id)
    if named is None:
        return None
    try:
        batch = batches.get(named[0], owner=owner)
    except BatchNotFound:
        batch = None
    if batch is None or not batch.has_file(named[1]):
        raise FileNotFound(f"there is no file {file_id[:80]!r}")
    return ResultFile(batch, named[1])


def size_of(file: ResultFile, store: Store, batches: BatchBook) -> int:
    """Its bytes; the first time they are counted by making all of it."""
    known = file.batch.sizes.get(file.half)
    if known is not None:
        return known
    return sum(len(part) for part in counted(file, file.lines(store), batches))


def counted(file: ResultFile, pages: Iterable[list[bytes]], batches: BatchBook) -> Iterator[bytes]:
    """The same bytes; at their end their number is kept for the next who asks."""
    num_bytes = 0
    for page in pages:
        part = b"".join(page)
        num_bytes += len(part)
        yield part
    if file.batch.sizes.get(file.half) != num_bytes:
        batches.keep_size(file.batch, file.half, num_bytes)


def output_line(batch: Batch, row: ResultRow) -> dict[str, Any]:
    """One result as a line of such a file."""
    name = f"{batch.id.removeprefix('batch_')}{row.seq:08x}"
    line: dict[str, Any] = {"id": f"batch_req_{name}", "custom_id": row.custom_id}
    if row.status in _NEVER_RUN:
        code, message = _NEVER_RUN[row.status]
        return {**line, "response": None, "error": {"code": code, "message": message}}
    status, body = _answered(batch, row, name)
    return {
        **line,
        "response": {"status_code": status, "request_id": f"req_{name}", "body": body},
        "error": None,
    }


def _answered(batch: Batch, row: ResultRow, name: str) -> tuple[int, dict[str, Any]]:
    if row.status is DocumentStatus.SUCCEEDED:
        url = batch.asked.endpoint if batch.asked.endpoint != MIXED else str((row.metadata or {})["url"])
        return 200, ENDPOINTS[url].answer(row, Answered(name, int(batch.created_at.timestamp())))
    status = status_of_failure(row.error_code)
    return status, error_body(status, row.error_code, row.error_message or "the request failed")
