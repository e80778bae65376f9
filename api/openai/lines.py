"""Lines of a batch to rows: `{"custom_id", "method": "POST", "url", "body"}`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from api.openai.body import BodyProblem
from api.openai.endpoints import ENDPOINTS, MIXED
from jobs import jsontext
from jobs.echo import echoed
from jobs.rows.formats import RawRow
from jobs.rows.ids import MAX_CHARACTERS

_FIELDS = ("custom_id", "method", "url", "body")


class EnvelopeProblem(Exception):
    """What is wrong with a line."""

    def __init__(self, param: str, message: str, code: str) -> None:
        self.param, self.message, self.code = param, message, code
        super().__init__(message)


def rows_of(lines: Iterable[RawRow], endpoint: str) -> Iterator[RawRow]:
    """Each line as a row of ours, or with what is wrong with it.

    Args:
        lines: Objects as they were read.
        endpoint: Of the batch.
    """
    for line in lines:
        if line.fields is None:
            yield line._replace(problem_code=line.problem_code or "invalid_json_line")
            continue
        try:
            yield _row(line, line.fields, endpoint)
        except BodyProblem as problem:
            yield line._replace(
                fields=None, problem=problem.message, problem_field=f"body.{problem.param}",
                problem_code=problem.code,
            )  # fmt: skip
        except EnvelopeProblem as problem:
            yield line._replace(
                fields=None, problem=problem.message, problem_field=problem.param, problem_code=problem.code
            )


def _row(line: RawRow, fields: Mapping[str, Any], endpoint: str) -> RawRow:
    url = _url(fields, endpoint)
    _check_envelope(fields)
    if jsontext.is_nested_too_deep(fields["body"]):
        raise EnvelopeProblem("body", f"is nested more than {jsontext.MAX_NESTING} deep", "invalid_value")
    found = ENDPOINTS[url].read(fields["body"])
    row = {name: value for name, value in found.fields.items() if value not in (None, {})}
    row["custom_id"] = fields["custom_id"]
    if endpoint == MIXED:
        row["metadata"] = {"url": url}
    return line._replace(fields=row, names=found.names)


def _check_envelope(fields: Mapping[str, Any]) -> None:
    for name in _FIELDS:
        if fields.get(name) is None:
            raise EnvelopeProblem(
                name, f"Missing required parameter: {name!r}.", "missing_required_parameter"
            )
    unknown = min(fields.keys() - set(_FIELDS), default=None)
    if unknown is not None:
        raise EnvelopeProblem(
            unknown[:80],
            f"unknown field {echoed(unknown)}; a line has {', '.join(_FIELDS)}",
            "unknown_parameter",
        )
    if not isinstance(fields["custom_id"], str) or not 0 < len(fields["custom_id"]) <= MAX_CHARACTERS:
        raise EnvelopeProblem(
            "custom_id", f"must be a string of 1 to {MAX_CHARACTERS} characters", "invalid_value"
        )
    if fields["method"] != "POST":
        raise EnvelopeProblem("method", f"must be 'POST', not {echoed(fields['method'])}", "invalid_method")
    if not isinstance(fields["body"], dict):
        raise EnvelopeProblem("body", "must be an object", "invalid_value")


def _url(fields: Mapping[str, Any], endpoint: str) -> str:
    url = fields.get("url")
    if url is None:
        raise EnvelopeProblem("url", "Missing required parameter: 'url'.", "missing_required_parameter")
    if endpoint == MIXED:
        if url in ENDPOINTS:
            return str(url)
        raise EnvelopeProblem(
            "url", f"{echoed(url)} is not served in a batch; use one of {', '.join(ENDPOINTS)}", "invalid_url"
        )
    if url != endpoint:
        raise EnvelopeProblem(
            "url",
            f"{echoed(url)} is not the endpoint of the batch, {endpoint}; lines of several are for a batch "
            f"with the endpoint {MIXED}",
            "invalid_url",
        )
    return endpoint
