"""What the API sends and takes, as documented types."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from api.webhook_schemas import JobWebhookIn, JobWebhookOut
from jobs import jsontext
from jobs.keys import shown_project
from jobs.records import Job, JobStatus, ResultRow, Task


class CountsOut(BaseModel):
    """Documents by where they are."""

    total: int
    queued: int
    running: int
    succeeded: int
    failed: int
    cancelled: int
    expired: int


class TokensOut(BaseModel):
    """Tokens so far."""

    input: int
    output: int


class RateOut(BaseModel):
    """Speed over the last half minute (at the end: of the whole run), or null before there is any.

    Documents computed count, not those cancelled or expired.
    """

    documents_per_second: float | None
    tokens_per_second: float | None


class JobOut(BaseModel):
    """A job."""

    id: str
    project: str
    status: JobStatus
    task: Task | None
    model: str | None
    priority: Literal["interactive", "bulk"]
    counts: CountsOut
    progress: Annotated[
        float,
        Field(ge=0, le=1, description="The share of documents computed; below 1 for good when cut off."),
    ]
    tokens: TokensOut
    rate: RateOut
    eta_seconds: float | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    metadata: dict[str, Any]
    name: str | None
    tags: list[str]
    error: str | None


class SubmittedJobOut(JobOut):
    """A job that was just submitted."""

    webhook: JobWebhookOut | None = None


class JobPage(BaseModel):
    """Jobs, newest first."""

    data: list[JobOut]
    next: str | None


MOST_TAGS = 16
Tag = Annotated[str, Field(max_length=64, pattern=r"^[^\s,\x00-\x1f][^,\x00-\x1f]*$")]


class JobIn(BaseModel):
    """The fields of a submission apart from its documents; also its query parameters."""

    model_config = ConfigDict(extra="forbid")

    task: str | None = None
    model: str | None = None
    params: dict[str, Any] = Field(default_factory=dict)
    project: str | None = Field(None, description="Whose job it is; only an administrator has a choice.")
    priority: Literal["interactive", "bulk"] | None = None
    webhook: JobWebhookIn = None
    expires_in: Annotated[float, Field(gt=0, le=366 * 86400)] | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    name: Annotated[str, Field(min_length=1, max_length=200)] | None = Field(
        None, description="For people; several jobs may have one name."
    )
    tags: Annotated[list[Tag], Field(max_length=MOST_TAGS)] = Field(
        default_factory=list,
        description="To find it by. In a query: once for each, or with commas between.",
    )
    # How rows are read: which column is which field, and what the bytes are.
    text_column: str | None = None
    id_column: str | None = None
    context_column: str | None = None
    model_column: str | None = None
    task_column: str | None = None
    params_column: str | None = None
    delimiter: str | None = None
    encoding: str | None = None

    @field_validator("tags", mode="before")
    @classmethod
    def _read_tags(cls, value: Any) -> Any:
        return [tag.strip() for tag in value.split(",")] if isinstance(value, str) else value or []

    @field_validator("tags")
    @classmethod
    def _each_once(cls, value: list[str]) -> list[str]:
        return list(dict.fromkeys(value))

    @field_validator("params", "metadata", mode="before")
    @classmethod
    def _null_is_nothing(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("params", "metadata")
    @classmethod
    def _is_flat_enough(cls, value: dict[str, Any]) -> dict[str, Any]:
        if jsontext.is_nested_too_deep(value):
            raise ValueError(f"nested more than {jsontext.MAX_NESTING} deep")
        return value


def query_parameters(fields: type[BaseModel]) -> list[dict[str, Any]]:
    """Fields that are also taken from the query, as OpenAPI lists them; objects travel as JSON."""
    properties = fields.model_json_schema()["properties"]
    return [
        {"name": name, "in": "query", "required": False}
        | (
            {"content": {"application/json": {"schema": of}}}
            if of.get("type") == "object"
            else {"schema": of}
        )
        for name, of in properties.items()
    ]


def job_out(job: Job, rate: RateOut, eta_seconds: float | None) -> JobOut:
    """The job as clients see it."""
    counts = job.counts
    return JobOut(
        id=job.id,
        project=shown_project(job.owner),
        status=job.status,
        task=job.task,
        model=job.model,
        priority="interactive" if job.priority == 0 else "bulk",
        counts=CountsOut(**{name: getattr(counts, name) for name in CountsOut.model_fields}),
        progress=counts.progress,
        tokens=TokensOut(input=job.input_tokens, output=job.output_tokens),
        rate=rate,
        eta_seconds=eta_seconds,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        expires_at=job.expires_at,
        metadata=dict(job.metadata),
        name=job.name,
        tags=list(job.tags),
        error=job.error,
    )


def result_line(row: ResultRow) -> dict[str, Any]:
    """One result as a line of JSON has it."""
    error = None if row.error_code is None else {"code": row.error_code, "message": row.error_message}
    line: dict[str, Any] = {
        "custom_id": row.custom_id,
        "seq": row.seq,
        "status": row.status,
        "task": row.task,
        "model": row.model,
        "output": row.output,
        "error": error,
        "usage": {"input_tokens": row.input_tokens, "output_tokens": row.output_tokens},
        "truncated": row.truncated,
    }
    if row.metadata is not None:
        line["metadata"] = row.metadata
    if row.provenance is not None:
        line["provenance"] = row.provenance
    return line
