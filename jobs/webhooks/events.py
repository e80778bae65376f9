"""What is told of a job or batch that ended, in the form of OpenAI's events."""

from __future__ import annotations

from jobs import jsontext
from jobs.records import Job, JobStatus
from jobs.webhooks.records import Event, EventType

_OF_JOB = {
    JobStatus.COMPLETED: EventType.JOB_COMPLETED,
    JobStatus.FAILED: EventType.JOB_FAILED,
    JobStatus.CANCELLED: EventType.JOB_CANCELLED,
    JobStatus.EXPIRED: EventType.JOB_EXPIRED,
}
#: As `/v1/batches` calls these ends.
_OF_BATCH = {
    JobStatus.COMPLETED: EventType.BATCH_COMPLETED,
    JobStatus.FAILED: EventType.BATCH_COMPLETED,
    JobStatus.CANCELLED: EventType.BATCH_CANCELLED,
    JobStatus.EXPIRED: EventType.BATCH_EXPIRED,
}
_COUNTS = ("total", "succeeded", "failed", "cancelled", "expired")


def end_of(job: Job, batch_id: str | None) -> Event:
    """The event of a job that has just ended; of its batch, where it is one."""
    if batch_id is not None:
        return Event(
            type=_OF_BATCH[job.status],
            data={
                "id": batch_id,
                "request_counts": {
                    "total": job.counts.total,
                    "completed": job.counts.succeeded,
                    "failed": job.counts.failed,
                },
            },
        )
    return Event(
        type=_OF_JOB[job.status],
        data={
            "id": job.id,
            "status": str(job.status),
            "counts": {name: getattr(job.counts, name) for name in _COUNTS},
            "tokens": {"input": job.input_tokens, "output": job.output_tokens},
        },
    )


def refusal_of(batch_id: str) -> Event:
    """The event of a batch that cannot be run: it never had a job."""
    return Event(type=EventType.BATCH_FAILED, data={"id": batch_id})


def body_of(event: Event, event_id: str, at: float) -> str:
    """What is sent and signed, byte for byte in every try."""
    told = {
        "id": event_id, "object": "event", "created_at": int(at), "type": str(event.type),
        "data": event.data,
    }  # fmt: skip
    return jsontext.dumps(told).decode()
