"""A submitted job, seen from the client: follow it, read its results, steer it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import httpx2
import orjson

from jobs.records import JobStatus
from textmill.errors import ServerUnreachable, WaitTimedOut
from textmill.transport import Transport
from textmill.views import Event, JobView, Result

_LONG_POLL_SECONDS = 20
_MOST_BROKEN_STREAMS = 5  # in a row, without a single line between


class JobHandle:
    """One job on the server. Holds no connection of its own."""

    def __init__(self, transport: Transport, job: JobView | str, *, note: str | None = None) -> None:
        self._transport = transport
        #: what the server wants the submitter to know, such as columns it did not read as fields
        self.note = note
        self.id = job if isinstance(job, str) else job.id
        self._last = None if isinstance(job, str) else job

    def __repr__(self) -> str:
        return f"JobHandle({self.id!r})"

    @property
    def _path(self) -> str:
        return f"/v1/jobs/{self.id}"

    # -- following -----------------------------------------------------------------

    def status(self) -> JobView:
        """The job as it stands now."""
        return self._note(self._transport.request("GET", self._path))

    def wait(
        self, timeout_seconds: float | None = None, on_progress: Callable[[JobView], None] | None = None
    ) -> Self:
        """Returns once the job is final, by long polls.

        Args:
            timeout_seconds: None waits for ever.
            on_progress: Called with the job at first and whenever it changed.

        Raises:
            WaitTimedOut: the time is over; the job goes on.
        """
        deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        for job in self.changes(deadline=deadline):
            if on_progress is not None:
                on_progress(job)
        return self

    def changes(self, *, deadline: float | None = None) -> Iterator[JobView]:
        """The job now, then after each change, until it is final.

        Args:
            deadline: By `time.monotonic`; None: no limit.

        Raises:
            WaitTimedOut: the deadline passed first.
        """
        job = self.status()
        yield job
        while not job.is_final:
            seconds = _LONG_POLL_SECONDS
            if deadline is not None:
                seconds = min(seconds, int(deadline - time.monotonic()))
                if deadline <= time.monotonic():
                    raise WaitTimedOut(f"{self.id} is still {job.status}; it goes on on the server")
            job = self._poll(job, wait_seconds=seconds)
            yield job

    def _poll(self, job: JobView, *, wait_seconds: int) -> JobView:
        headers = {"Prefer": f"wait={max(1, wait_seconds)}"}
        if job.etag is not None:
            headers["If-None-Match"] = job.etag
        response = self._transport.request("GET", self._path, headers=headers)
        return job if response.status_code == httpx2.codes.NOT_MODIFIED else self._note(response)

    def events(self) -> Iterator[Event]:
        """Server-sent events until the job is done, resumed where a connection breaks.

        Raises:
            ServerUnreachable: the stream keeps breaking before it says anything.
        """
        last_id = ""
        num_broken = 0
        while num_broken < _MOST_BROKEN_STREAMS:
            headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last_id} if last_id else {})}
            try:
                with self._transport.stream("GET", f"{self._path}/events", headers=headers) as response:
                    for event in httpx2.EventSource(response):
                        last_id = event.id or last_id
                        if event.event not in ("progress", "done"):
                            continue
                        num_broken = 0
                        yield Event(kind=event.event, job=JobView.parse(orjson.loads(event.data)))
                        if event.event == "done":
                            return
            except httpx2.TransportError:
                pass  # opening it again is the remedy, and Last-Event-ID the place
            num_broken += 1
        raise ServerUnreachable(f"the events of {self.id} keep breaking off")

    # -- results -------------------------------------------------------------------

    def results(self, *, after: int = -1, follow: bool = True) -> Iterator[Result]:
        """Result lines in input order.

        Args:
            after: Start behind this `seq`.
            follow: Wait for what is not there yet, so that none is missing; False: what
                is there now, with gaps where documents are still open.
        """
        for parsed, _ in self._lines(after=after, follow=follow):
            yield Result.parse(parsed)

    def result_lines(self, *, after: int = -1, follow: bool = True) -> Iterator[bytes]:
        """As `results`, each line as the server wrote it, without its newline."""
        for _, line in self._lines(after=after, follow=follow):
            yield line

    @contextmanager
    def download(self, *, form: str) -> Iterator[tuple[JobView, Iterator[bytes]]]:
        """All results there are now, as one file in the server's words (`csv`, `jsonl`)."""
        job = self.status()
        query = {"format": form}
        with self._transport.stream("GET", f"{self._path}/results", query=query) as response:
            yield job, response.iter_bytes()

    def _lines(self, *, after: int, follow: bool) -> Iterator[tuple[dict[str, Any], bytes]]:
        num_broken = 0
        while True:
            page = _Page()
            before = after
            try:
                for parsed, line in self._page(page, after, is_gapless=follow):
                    after = parsed["seq"]
                    yield parsed, line
            except httpx2.TransportError as error:
                num_broken = 0 if after > before else num_broken + 1
                if num_broken >= _MOST_BROKEN_STREAMS:
                    raise ServerUnreachable(f"the results of {self.id} keep breaking off: {error}") from error
                continue
            num_broken = 0
            if page.has_next and after > before:
                continue
            if page.is_final or not follow:
                return
            self._await_change()

    def _page(self, page: _Page, after: int, *, is_gapless: bool) -> Iterator[tuple[dict[str, Any], bytes]]:
        """One request's lines; up to the first open document when the job still runs."""
        query = {"after": after}
        with self._transport.stream("GET", f"{self._path}/results", query=query) as response:
            page.is_final = _is_final(response.headers.get("Textmill-Job-Status", ""))
            page.has_next = "next" in response.links
            for line in split_lines(response.iter_bytes()):
                parsed = orjson.loads(line)
                # Lines come by seq, but documents do not finish in that order: one that
                # is open now would be passed over for good.
                if is_gapless and not page.is_final and parsed["seq"] != after + 1:
                    page.has_next = False
                    return
                after = parsed["seq"]
                yield parsed, line

    def _await_change(self) -> None:
        if self._last is None:
            self.status()
        elif not self._last.is_final:
            self._poll(self._last, wait_seconds=_LONG_POLL_SECONDS)

    # -- steering ------------------------------------------------------------------

    def cancel(self) -> JobView:
        """Stops the job; results settled by then stay."""
        return self._note(self._transport.request("POST", f"{self._path}/cancel"))

    def retry(self) -> JobView:
        """Runs the documents again that did not succeed."""
        return self._note(self._transport.request("POST", f"{self._path}/retry"))

    def delete(self) -> None:
        """Removes a finished job with all its rows."""
        self._transport.request("DELETE", self._path)

    def _note(self, response: httpx2.Response) -> JobView:
        self._last = JobView.parse(orjson.loads(response.content), etag=response.headers.get("ETag"))
        return self._last


@dataclass
class _Page:
    """What the head of a results response says; filled by `JobHandle._page`."""

    is_final: bool = False
    has_next: bool = False


def split_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Lines ended by a newline and nothing else: JSON strings may hold U+2028 as it is."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from (line for line in lines if line)
    if rest:
        yield rest


def _is_final(status: str) -> bool:
    return status in JobStatus.__members__.values() and JobStatus(status).is_final
