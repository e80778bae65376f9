"""Reading the results of a job over HTTP: in order, resumed where it breaks, counted to the end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx2

from jobs import jsontext
from jobs.records import JobStatus
from textmill.errors import IncompleteResults, ServerUnreachable, UnreadableInput
from textmill.transport import Transport
from textmill.views import JobView

_MOST_BROKEN_ANSWERS = 5  # in a row, without a single result between
_CSV_PAGE = 5000


@dataclass(frozen=True, kw_only=True)
class ResultChoice:
    """Which results: any of these statuses, tasks and models; empty: all."""

    status: Sequence[str] = ()
    task: Sequence[str] = ()
    model: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.status or self.task or self.model)

    @property
    def query(self) -> dict[str, list[str]]:
        """As query parameters."""
        return {name: list(values) for name, values in vars(self).items() if values}


@dataclass
class _Head:
    """What the head of an answer says; filled when it has come."""

    is_final: bool = False
    has_next: bool = False
    #: results that the answer should hold, where the server knows
    count: int | None = None

    def read(self, response: httpx2.Response) -> None:
        """Takes it from the headers."""
        status = response.headers.get("Textmill-Job-Status", "")
        count = response.headers.get("Textmill-Result-Count", "")
        self.is_final = status in JobStatus.__members__.values() and JobStatus(status).is_final
        self.has_next = "next" in response.links
        self.count = int(count) if count.isdecimal() else None


class _CutShort(Exception):
    """An answer that ended in order holds less than it should."""


@dataclass
class ResultReader:
    """One reading of one job. What is less than the job says is never passed off as whole."""

    transport: Transport
    job_id: str
    choice: ResultChoice
    status: Callable[[], JobView]  #: the job as it is now
    await_change: Callable[[], None]  #: rests until the job has changed
    num_read: int = field(default=0, init=False)

    def lines(self, *, after: int, follow: bool) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Result lines, parsed and as the server wrote them.

        Raises:
            IncompleteResults: the server keeps sending less than there is.
            ServerUnreachable: the connection keeps breaking.
        """
        num_broken = 0
        while True:
            head = _Head()
            before = after
            try:
                for parsed, line in self._answer(head, after, is_gapless=follow):
                    after = parsed["seq"]
                    self.num_read += 1
                    yield parsed, line
            except (httpx2.TransportError, _CutShort) as error:
                num_broken = 0 if after > before else num_broken + 1
                if num_broken >= _MOST_BROKEN_ANSWERS:
                    raise self._given_up(error) from error
                continue
            num_broken = 0
            if not follow or (head.is_final and not head.has_next):
                return
            if not (head.has_next and after > before):
                self.await_change()

    def _answer(self, head: _Head, after: int, *, is_gapless: bool) -> Iterator[tuple[dict[str, Any], bytes]]:
        """One answer's lines, checked for their number at its end."""
        query: dict[str, Any] = {"after": after, **self.choice.query}
        if not is_gapless:
            query["gaps"] = "true"
        with self.transport.stream("GET", f"{path_of(self.job_id)}/results", query=query) as response:
            head.read(response)
            num_lines = 0
            for line in split_lines(response.iter_bytes()):
                parsed = jsontext.loads(line)
                # A server of the first release passes over documents that are still open.
                if is_gapless and not self.choice and parsed["seq"] != after + 1:
                    head.has_next = False
                    break
                after = parsed["seq"]
                num_lines += 1
                yield parsed, line
        if head.count is not None and num_lines < head.count:
            raise _CutShort(f"{num_lines} of {head.count} results came")
        if head.is_final and not head.has_next and not self.choice:
            self._check_total(after + 1, head)

    def _check_total(self, num_results: int, head: _Head) -> None:
        if head.count is None and num_results < (total := self.status().counts.total):
            raise _CutShort(f"results of {num_results} of {total} documents came")

    def csv(self, *, follow: bool, spreadsheet: bool = False) -> Iterator[bytes]:
        """One CSV file, fetched page by page, so that a page that breaks is fetched again.

        Raises:
            IncompleteResults: the server keeps sending less than there is.
        """
        query: dict[str, Any] = {"format": "csv", "limit": _CSV_PAGE, "after": -1, **self.choice.query}
        query |= {} if follow else {"gaps": "true"}
        query |= {"spreadsheet": "true"} if spreadsheet else {}
        path = f"{path_of(self.job_id)}/results"
        is_first = True
        while True:
            head, body, following = self._csv_page(path, query)
            yield body if is_first else body.partition(b"\r\n")[2]
            is_first = False
            if following is None:
                break
            if follow and not head.count:
                self.await_change()
            path, query = following, {}
        if head.is_final and not self.choice and self.num_read < (total := self.status().counts.total):
            raise self._given_up(_CutShort(f"results of {self.num_read} of {total} documents came"))

    def _csv_page(self, path: str, query: Mapping[str, Any]) -> tuple[_Head, bytes, str | None]:
        for _ in range(_MOST_BROKEN_ANSWERS):
            response = self.transport.request("GET", path, query=query)
            head = _Head()
            head.read(response)
            num_rows = max(0, num_csv_rows(response.content) - 1)
            if head.count is None or num_rows >= head.count:
                self.num_read += num_rows
                return head, response.content, response.links.get("next", {}).get("url")
        raise self._given_up(_CutShort(f"{num_rows} of {head.count} results came"))

    def _given_up(self, error: Exception) -> Exception:
        if isinstance(error, _CutShort):
            return IncompleteResults(
                f"the results of {self.job_id} are not complete: the server keeps sending less than it has "
                f"after {self.num_read} ({error})"
            )
        return ServerUnreachable(f"the results of {self.job_id} keep breaking off: {error}")


def path_of(job_id: str) -> str:
    """Where a job is, whatever its caller takes for its id.

    Raises:
        UnreadableInput: it would lead to another address.
    """
    if not job_id.strip(" .") or "/" in job_id:
        raise UnreadableInput(f"{job_id!r} is no id of a job: it looks like job_01a2...")
    return f"/v1/jobs/{quote(job_id, safe='')}"


def num_csv_rows(content: bytes) -> int:
    """Rows of a CSV, its header among them, by the row ends outside quotes (RFC 4180).

    Python's reader takes no cell above 128 KiB, and its limit is one for the whole process.
    """
    return sum(outside.count(b"\r\n") for outside in content.split(b'"')[::2])


def split_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines ended by a newline and nothing else: JSON strings may hold U+2028 as it is."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line for line in lines if line)
    if rest:
        yield rest
