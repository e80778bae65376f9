"""A submitted job, seen from the client: follow it, read its results, steer it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

import httpx2

from jobs import jsontext
from textmill.errors import ServerUnreachable, WaitTimedOut
from textmill.result_reader import ResultChoice, ResultReader, path_of
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
        #: what this job was submitted with, and its secret; None for a job that was not submitted here
        self.webhook: Mapping[str, Any] | None = None if isinstance(job, str) else job.raw.get("webhook")

    def __repr__(self) -> str:
        return f"JobHandle({self.id!r})"

    @property
    def _path(self) -> str:
        return path_of(self.id)

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
                        yield Event(kind=event.event, job=JobView.parse(jsontext.loads(event.data)))
                        if event.event == "done":
                            return
            except httpx2.TransportError:
                pass  # opening it again is the remedy, and Last-Event-ID the place
            num_broken += 1
        raise ServerUnreachable(f"the events of {self.id} keep breaking off")

    # -- results -------------------------------------------------------------------

    def results(
        self,
        *,
        after: int = -1,
        follow: bool = True,
        status: str | Sequence[str] = (),
        task: str | Sequence[str] = (),
        model: str | Sequence[str] = (),
    ) -> Iterator[Result]:
        """Result lines in input order.

        Args:
            after: Start behind this `seq`.
            follow: Wait for what is not there yet, so that none is missing; False: what
                is there now, with gaps where documents are still open.
            status: Only these: `succeeded`, `failed`, `cancelled`, `expired`.
            task: Only of these tasks.
            model: Only of these models.

        Raises:
            IncompleteResults: the server keeps sending less than the job has.
            ServerUnreachable: the connection keeps breaking.
        """
        reader = self.reader(status=status, task=task, model=model)
        for parsed, _ in reader.lines(after=after, follow=follow):
            yield Result.parse(parsed)

    def result_lines(self, *, after: int = -1, follow: bool = True) -> Iterator[bytes]:
        """As `results`, each line as the server wrote it, without its newline."""
        for _, line in self.reader().lines(after=after, follow=follow):
            yield line

    def reader(
        self,
        *,
        status: str | Sequence[str] = (),
        task: str | Sequence[str] = (),
        model: str | Sequence[str] = (),
    ) -> ResultReader:
        """One reading of the results, as lines or as CSV, which counts what it read."""
        choice = ResultChoice(status=_listed(status), task=_listed(task), model=_listed(model))
        return ResultReader(self._transport, self.id, choice, self.status, self._await_change)

    def _await_change(self) -> None:
        if self._last is None or self._last.is_final:  # final: then somebody retried it
            self.status()
        else:
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
        self._last = JobView.parse(jsontext.loads(response.content), etag=response.headers.get("ETag"))
        return self._last


def _listed(values: str | Sequence[str]) -> Sequence[str]:
    return [values] if isinstance(values, str) else values
