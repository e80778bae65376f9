"""The record of a job: with which models, versions and parameters its results came about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from api.console import words
from api.console.job_view import TASKS
from jobs import jsontext
from jobs.listing import JobRecord, ModelRecord
from jobs.records import Job

_SHOWN_OF_REVISION = 12
_VERSIONS = ("transformers", "torch", "ctranslate2")
_TOLD_ELSEWHERE = frozenset({"model_revision", "dtype", "seed", *_VERSIONS})
_MOST_CHARACTERS = 400


def record_rows(job: Job, record: JobRecord) -> list[tuple[str, str]]:
    """Names and values; a value may be long."""
    rows = [(TASKS[of.task.value], _model(of)) for of in record.models]
    rows += [("Parameters", _json(record.params))] if record.params else []
    rows += [("Versions", versions)] if (versions := _versions(record)) else []
    rows += [
        ("Priority", "interactive" if job.priority == 0 else "bulk"),
        ("Tokens", f"{job.input_tokens:,} in, {job.output_tokens:,} out"),
        ("Documents", f"{job.counts.total:,}, {words.size(record.stored_bytes)} as JSON"),
    ]
    rows += [("Metadata", _json(job.metadata))] if job.metadata else []
    return rows


def _model(of: ModelRecord) -> str:
    told = of.provenance
    if told is None:
        return f"{of.model}, no result yet"
    revision = str(told.get("model_revision") or "").removeprefix("sha256:")[:_SHOWN_OF_REVISION]
    more = [f"{name} {value}" for name, value in told.items() if name not in _TOLD_ELSEWHERE]
    parts = [of.model, f"revision {revision}" if revision else "", str(told.get("dtype") or ""), *more]
    return _cut(", ".join(part for part in parts if part))


def _versions(record: JobRecord) -> str:
    found = {
        f"{name} {of.provenance[name]}": None
        for of in record.models
        if of.provenance
        for name in _VERSIONS
        if name in of.provenance
    }
    return ", ".join(found)


def _json(value: Mapping[str, Any]) -> str:
    return _cut(jsontext.dumps(dict(value)).decode())


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}…"
