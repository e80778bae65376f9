"""What the server answers, as values: a job, a result line, an event."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from jobs.records import Counts, DocumentStatus, JobStatus

_COUNTS = tuple(Counts.__dataclass_fields__)


@dataclass(frozen=True, kw_only=True)
class JobView:
    """A job as the server described it at one moment."""

    id: str
    status: JobStatus
    task: str | None  #: None: the documents name their own
    model: str | None
    counts: Counts
    progress: float  #: 0 to 1
    input_tokens: int
    output_tokens: int
    documents_per_second: float | None
    tokens_per_second: float | None
    eta_seconds: float | None
    created_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    error: str | None
    name: str | None  #: given by whoever submitted it; several jobs may have one name
    tags: tuple[str, ...]
    raw: Mapping[str, Any] = field(repr=False)  #: the whole answer, for what has no field here
    etag: str | None = None

    @classmethod
    def parse(cls, body: Mapping[str, Any], *, etag: str | None = None) -> Self:
        """From the JSON of `GET /v1/jobs/{id}`."""
        counts = body.get("counts") or {}
        tokens = body.get("tokens") or {}
        rate = body.get("rate") or {}
        return cls(
            id=body["id"],
            status=JobStatus(body["status"]),
            task=body.get("task"),
            model=body.get("model"),
            counts=Counts(**{"total": 0, **{k: int(counts[k]) for k in _COUNTS if k in counts}}),
            progress=float(body.get("progress") or 0.0),
            input_tokens=int(tokens.get("input") or 0),
            output_tokens=int(tokens.get("output") or 0),
            documents_per_second=rate.get("documents_per_second"),
            tokens_per_second=rate.get("tokens_per_second"),
            eta_seconds=body.get("eta_seconds"),
            created_at=_time(body.get("created_at")),
            started_at=_time(body.get("started_at")),
            finished_at=_time(body.get("finished_at")),
            error=body.get("error"),
            name=body.get("name"),
            tags=tuple(body.get("tags") or ()),
            raw=body,
            etag=etag,
        )

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to it, unless somebody retries it."""
        return self.status.is_final

    @property
    def has_succeeded(self) -> bool:
        """Whether every document succeeded."""
        return self.status is JobStatus.COMPLETED and self.counts.succeeded == self.counts.total


@dataclass(frozen=True, kw_only=True)
class Result:
    """One result line: what became of one document."""

    custom_id: str
    seq: int
    status: DocumentStatus
    task: str
    model: str
    output: Mapping[str, Any] | None  #: None unless it succeeded
    error: Mapping[str, Any] | None  #: `code` and `message`, when it failed
    usage: Mapping[str, int]
    truncated: bool
    raw: Mapping[str, Any] = field(repr=False)

    @classmethod
    def parse(cls, line: Mapping[str, Any]) -> Self:
        """From one line of `GET /v1/jobs/{id}/results`."""
        return cls(
            custom_id=line["custom_id"],
            seq=line["seq"],
            status=DocumentStatus(line["status"]),
            task=line["task"],
            model=line["model"],
            output=line.get("output"),
            error=line.get("error"),
            usage=line.get("usage") or {},
            truncated=bool(line.get("truncated")),
            raw=line,
        )

    @property
    def text(self) -> str:
        """The output in one string: text, answer or label; empty unless it succeeded."""
        output = self.output or {}
        return str(next((output[key] for key in ("text", "answer", "label") if key in output), ""))


@dataclass(frozen=True, kw_only=True)
class Event:
    """One server-sent event."""

    kind: str  #: `progress` or `done`
    job: JobView


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
