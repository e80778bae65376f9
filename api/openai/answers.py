"""What the answers of all endpoints share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from jobs.records import ResultRow


class Answered(NamedTuple):
    """What is said of an answer beside its result."""

    name: str  #: no other answer has it
    created: int  #: seconds since 1970


def choices_of(row: ResultRow) -> list[tuple[str, str]]:
    """Texts, each with why it ends."""
    output: Mapping[str, Any] = row.output or {}
    first = (str(output["text"]), str(output["finish_reason"]))
    if "texts" not in output:
        return [first]
    texts = output["texts"]
    # A worker of 0.1.0 gave one for all of them.
    reasons = output.get("finish_reasons") or ["length" if row.truncated else "stop"] * len(texts)
    return list(zip(texts, reasons, strict=True))


def usage_of(row: ResultRow) -> dict[str, int]:
    """Tokens, by the names of completions."""
    return {
        "prompt_tokens": row.input_tokens,
        "completion_tokens": row.output_tokens,
        "total_tokens": row.input_tokens + row.output_tokens,
    }
