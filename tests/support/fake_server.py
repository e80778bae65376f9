"""A Textmill server without sockets: the promised HTTP calls over `httpx2.MockTransport`.

Nothing happens by itself: a test says what settles, or lets each long poll settle some.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2

from jobs.rows.reading import JSON, RowReader

FAKE_MODEL = {
    "id": "fake",
    "object": "model",
    "task": "sentiment",
    "ref": "noop:fake",
    "default": True,
    "workers": [{"worker": "cpu@here", "device": "cpu", "warm": True}],
    "facts": {"parameters": 22_700_000, "dtype": "float32"},
}
FINAL = {"completed", "failed", "cancelled", "expired"}


@dataclass
class FakeJob:
    """One job of the fake."""

    id: str
    rows: list[dict[str, Any]]
    query: dict[str, str]
    results: dict[int, dict[str, Any]] = field(default_factory=dict)
    status: str = "queued"
    version: int = 1

    def settle(self, *seqs: int, status: str = "succeeded") -> None:
        """These documents have their outcome now; the last one closes the job."""
        for seq in seqs:
            failed = status != "succeeded"
            self.results[seq] = {
                "custom_id": self.rows[seq].get("custom_id", str(seq)),
                "seq": seq,
                "status": status,
                "task": "sentiment",
                "model": "fake",
                "output": None if failed else {"label": "POSITIVE", "score": 0.98},
                "error": {"code": "bad", "message": "it is\u2028bad"} if failed else None,
                "usage": {"input_tokens": 3, "output_tokens": 0},
                "truncated": False,
            }
        self.status = "running"
        self.version += 1
        if len(self.results) == len(self.rows):
            succeeded = any(r["status"] == "succeeded" for r in self.results.values())
            self.status = "completed" if succeeded else "failed"

    def body(self) -> dict[str, Any]:
        """As `GET /v1/jobs/{id}` answers."""
        by_status = [result["status"] for result in self.results.values()]
        settled = len(by_status)
        computed = by_status.count("succeeded") + by_status.count("failed")
        rate = computed / 8.0 if self.status in FINAL else 12.5
        return {
            "id": self.id,
            "status": self.status,
            "task": self.query.get("task"),
            "model": None,
            "priority": "bulk",
            "counts": {
                "total": len(self.rows),
                "queued": len(self.rows) - settled,
                "running": 0,
                "succeeded": by_status.count("succeeded"),
                "failed": by_status.count("failed"),
                "cancelled": by_status.count("cancelled"),
                "expired": 0,
            },
            "progress": computed / len(self.rows),
            "tokens": {"input": 3 * settled, "output": 0},
            "rate": {"documents_per_second": rate, "tokens_per_second": 40.0},
            "eta_seconds": None if self.status in FINAL else 7.0,
            "created_at": "2026-11-24T12:00:00Z",
            "started_at": None,
            "finished_at": "2026-11-24T12:00:08Z" if self.status in FINAL else None,
            "expires_at": None,
            "metadata": json.loads(self.query.get("metadata", "{}")),
            "name": self.query.get("name"),
            "tags": [tag for tag in self.query.get("tags", "").split(",") if tag],
            "error": None,
        }


class FakeServer:
    """Keeps jobs, requests and scripted trouble."""

    def __init__(self) -> None:
        self.jobs: dict[str, FakeJob] = {}
        self.requests: list[httpx2.Request] = []
        #: used up one by one before anything else answers
        self.trouble: list[Exception | httpx2.Response] = []
        #: what each long poll brings about before it answers
        self.on_poll: Callable[[FakeJob], None] = lambda job: None
        #: lines after which each results stream breaks, one entry a stream
        self.breaks: list[int] = []
        #: results after which each answer ends in order, though there are more
        self.cuts: list[int] = []
        #: whether answers say how many results they hold; servers of 0.1.0 did not
        self.counts_results = True
        self.page_size = 1000
        self.workers: list[dict[str, Any]] = []

    @property
    def transport(self) -> httpx2.MockTransport:
        """For `Textmill(transport=...)`."""
        return httpx2.MockTransport(self._answer)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        if self.trouble:
            trouble = self.trouble.pop(0)
            if isinstance(trouble, Exception):
                raise trouble
            return trouble
        request.read()
        parts = [part for part in request.url.path.split("/") if part]
        if parts == ["v1", "models"]:
            return httpx2.Response(200, json={"object": "list", "data": [FAKE_MODEL]})
        if parts == ["v1", "workers"]:
            return httpx2.Response(200, json={"data": self.workers})
        if parts == ["v1", "jobs"]:
            return self._submit(request) if request.method == "POST" else self._list(request)
        job = self.jobs.get(parts[2])
        if job is None:
            return problem(404, "Not found", "There is no such job.")
        return self._job(request, job, parts[3:])

    def _submit(self, request: httpx2.Request) -> httpx2.Response:
        key = request.headers["Idempotency-Key"]
        job = self.jobs.get(f"job_{key}")
        if job is None:
            rows = _rows(request)
            job = self.jobs[f"job_{key}"] = FakeJob(f"job_{key}", rows, dict(request.url.params))
        return httpx2.Response(202, json=job.body(), headers={"Location": f"/v1/jobs/{job.id}"})

    def _list(self, request: httpx2.Request) -> httpx2.Response:
        asked = request.url.params
        newest = [
            job
            for job in reversed(self.jobs.values())
            if job.id.startswith(asked.get("prefix", ""))
            and asked.get("name", job.query.get("name")) == job.query.get("name")
        ]
        start = int(asked.get("after", 0))
        end = start + int(asked["limit"])
        following = str(end) if end < len(newest) else None
        return httpx2.Response(200, json={"data": [j.body() for j in newest[start:end]], "next": following})

    def _job(self, request: httpx2.Request, job: FakeJob, action: list[str]) -> httpx2.Response:
        match action:
            case [] if request.method == "DELETE":
                if job.status not in FINAL:
                    return problem(409, "Illegal transition", "Cancel it first.")
                del self.jobs[job.id]
                return httpx2.Response(204)
            case []:
                if "Prefer" in request.headers:
                    self.on_poll(job)
                etag = f'"{job.version}"'
                if request.headers.get("If-None-Match") == etag:
                    return httpx2.Response(304, headers={"ETag": etag})
                return httpx2.Response(200, json=job.body(), headers={"ETag": etag})
            case ["cancel"]:
                job.settle(
                    *(seq for seq in range(len(job.rows)) if seq not in job.results), status="cancelled"
                )
                job.status = "cancelled"
                return httpx2.Response(200, json=job.body())
            case ["retry"]:
                job.results = {q: r for q, r in job.results.items() if r["status"] == "succeeded"}
                job.status = "queued"
                return httpx2.Response(200, json=job.body())
            case ["results"]:
                return self._results(request, job)
            case ["events"]:
                return self._events(job)
        return problem(404, "Not found", "No such call.")

    def _results(self, request: httpx2.Request, job: FakeJob) -> httpx2.Response:
        asked = request.url.params
        after = int(asked.get("after", -1))
        is_final = job.status in FINAL
        has_gaps = asked.get("gaps") == "true" or not ("after" in asked or "limit" in asked)
        settled = [seq for seq in sorted(job.results) if seq > after]
        if not has_gaps:
            first_open = next(
                (seq for seq in range(after + 1, len(job.rows)) if seq not in job.results), None
            )
            settled = [seq for seq in settled if first_open is None or seq < first_open]
        if wanted := asked.get_list("status"):
            settled = [seq for seq in settled if job.results[seq]["status"] in wanted]
        size = min(self.page_size, int(asked.get("limit", self.page_size)))
        page, more = settled[:size], settled[size:]
        headers = {"Textmill-Job-Status": job.status}
        if self.counts_results and (is_final or "limit" in asked):
            headers["Textmill-Result-Count"] = str(len(page))
        if more or not (is_final or has_gaps):
            following = asked.set("after", str(page[-1] if page else after))
            headers["Link"] = f'</v1/jobs/{job.id}/results?{following}>; rel="next"'
        if self.cuts:
            page = page[: self.cuts.pop(0)]
        if asked.get("format") == "csv":
            text = "custom_id,label\r\n" + "".join(
                f"{job.results[s]['custom_id']},POSITIVE\r\n" for s in page
            )
            return httpx2.Response(200, content=text.encode(), headers=headers)
        lines = [json.dumps(job.results[seq], ensure_ascii=False).encode() + b"\n" for seq in page]
        break_after = self.breaks.pop(0) if self.breaks else None
        return httpx2.Response(200, stream=_Stream(lines, break_after), headers=headers)

    def _events(self, job: FakeJob) -> httpx2.Response:
        events = []
        for number in range(len(job.rows)):
            job.settle(number)
            kind = "done" if job.status in FINAL else "progress"
            events.append(f"id: {number}\nevent: {kind}\ndata: {json.dumps(job.body())}\n\n")
        return httpx2.Response(
            200, content="".join(events).encode(), headers={"Content-Type": "text/event-stream"}
        )


def _rows(request: httpx2.Request) -> list[dict[str, Any]]:
    """The rows of a body: JSON as the server reads it, of anything else the lines."""
    if request.headers["Content-Type"] == "application/x-ndjson":
        reader = RowReader(kind=JSON, max_line_bytes=1 << 20, max_body_bytes=1 << 20)
        return [row.fields for row in reader.rows([request.content]) if row.fields is not None]
    return [{"text": line} for line in request.content.decode(errors="replace").split("\n") if line]


class _Stream(httpx2.SyncByteStream):
    """A body in small pieces that may break off."""

    def __init__(self, lines: list[bytes], break_after: int | None) -> None:
        self._lines = lines
        self._break_after = break_after

    def __iter__(self) -> Iterator[bytes]:
        for number, line in enumerate(self._lines):
            if number == self._break_after:
                yield line[: len(line) // 2]
                raise httpx2.ReadError("connection reset by peer")
            middle = len(line) // 3
            yield line[:middle]
            yield line[middle:]
        if self._break_after is not None and self._break_after >= len(self._lines):
            raise httpx2.ReadError("connection reset by peer")


def problem(status: int, title: str, detail: str, **more: Any) -> httpx2.Response:
    """A problem document as the server writes it."""
    return httpx2.Response(
        status,
        json={"type": "about:blank", "title": title, "status": status, "detail": detail, **more},
        headers={"Content-Type": "application/problem+json", **more.pop("headers", {})},
    )
