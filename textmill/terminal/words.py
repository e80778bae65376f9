"""Numbers, times and jobs in words. Pure functions; no console."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from jobs.records import JobStatus
from textmill.views import JobView, Result


def duration(seconds: float) -> str:
    """`850 ms`, `12 s`, `3 min 20 s`, `2 h 5 min`, `4 d 3 h`."""
    if seconds < 1:
        return f"{max(0, round(seconds * 1000))} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"


def rate(per_second: float | None) -> str:
    """Documents a second, with as many digits as mean something."""
    if per_second is None:
        return ""
    digits = 0 if per_second >= 100 else 1 if per_second >= 1 else 2
    return f"{per_second:,.{digits}f} documents/s"


def size(num_bytes: int) -> str:
    """`812 B`, `1.4 MB`."""
    value = float(num_bytes)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def progress_line(job: JobView) -> str:
    """Where a job stands, in one plain line."""
    counts = job.counts
    parts = [f"{job.id} {job.status}: {counts.computed:,} of {counts.total:,} ({share(job)})"]
    if counts.failed:
        parts.append(f"{counts.failed:,} failed")
    if not job.is_final:
        parts += [part for part in (rate(job.documents_per_second), eta(job)) if part]
    return ", ".join(parts)


def share(job: JobView) -> str:
    """The share of documents computed; never 100 % while one is missing."""
    percent = int(job.counts.progress * 100)
    return f"{percent}%" if percent or not job.counts.computed else "<1%"


def eta(job: JobView) -> str:
    """`12 s left`; empty when nobody knows."""
    return "" if job.eta_seconds is None else f"{duration(job.eta_seconds)} left"


def summary(job: JobView) -> str:
    """What became of a job, in one line."""
    counts = job.counts
    named = {
        "succeeded": counts.succeeded,
        "failed": counts.failed,
        "cancelled": counts.cancelled,
        "expired": counts.expired,
    }
    numbers = ", ".join(f"{number:,} {name}" for name, number in named.items() if number) or "no documents"
    line = f"{job.id} {job.status}: {numbers}"
    if job.is_final and counts.computed < counts.total:
        line += f" ({share(job)} computed)"
    if seconds := seconds_taken(job):
        line += f" in {duration(seconds)}"
    # The server's rate: it knows when the job began, and what was there before a retry.
    if speed := rate(job.documents_per_second):
        line += f" ({speed})"
    if job.input_tokens or job.output_tokens:
        line += f"; {job.input_tokens:,} tokens in, {job.output_tokens:,} out"
    return line if job.error is None else f"{line}; {job.error}"


def seconds_taken(job: JobView) -> float | None:
    """From submission to the end."""
    if job.created_at is None or job.finished_at is None:
        return None
    return (job.finished_at - job.created_at).total_seconds()


def age(moment: datetime | None) -> str:
    """How long ago."""
    if moment is None:
        return ""
    return f"{duration(max(0.0, (datetime.now(UTC) - moment).total_seconds()))} ago"


def output_of(result: Result) -> str:
    """A document's output as a person wants to read it."""
    output = result.output or {}
    if "label" in output:
        return f"{output['label']} {output.get('score', 0):.3f}"
    return result.text


def failure_of(result: Result) -> str:
    """Why a document has no output."""
    error = result.error or {}
    reason = f"{error.get('code', result.status)}: {error.get('message', '')}".rstrip(": ")
    return f"{result.custom_id} (document {result.seq}): {reason}"


def style_of(status: JobStatus) -> str:
    """The colour of a status."""
    return {
        JobStatus.COMPLETED: "green",
        JobStatus.FAILED: "red",
        JobStatus.CANCELLED: "yellow",
        JobStatus.CANCELLING: "yellow",
        JobStatus.EXPIRED: "yellow",
        JobStatus.RUNNING: "cyan",
    }.get(status, "")


def how_computed(facts: Mapping[str, Any]) -> str:
    """Which way a model is computed, and why not by a faster one; `served` when it does not say."""
    told = [str(facts[name]) for name in ("way", "decoded_by", "dtype") if facts.get(name)]
    text = ", ".join(told) or "served"
    return f"{text}: {facts['why']}" if facts.get("why") else text
