"""The body of a call: the request itself, and how its answer is to come."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from api.openai.body import BodyProblem
from api.openai.endpoints import ENDPOINTS
from api.openai.errors import CallRefused
from jobs import jsontext
from jobs.echo import echoed
from jobs.errors import MalformedBody
from jobs.rows.formats import RawRow


class Asked(NamedTuple):
    """A call as it was read."""

    url: str
    body: bytes
    row: RawRow
    is_streamed: bool
    has_usage: bool  #: the last chunk of the stream says the tokens


def read_call(url: str, body: bytes) -> Asked:
    """The request as a row of ours.

    Raises:
        MalformedBody: it is no JSON object.
        CallRefused: it asks for what is not served, or lacks something.
    """
    fields = _fields(body)
    try:
        is_streamed, has_usage = _stream_of(url, fields)
        found = ENDPOINTS[url].read(fields)
    except BodyProblem as problem:
        raise CallRefused(problem.message, code=problem.code, param=problem.param) from None
    row = {name: value for name, value in found.fields.items() if value not in (None, {})}
    return Asked(url, body, RawRow(1, row, names=found.names), is_streamed, has_usage)


def _fields(body: bytes) -> dict[str, Any]:
    try:
        fields = jsontext.loads(body)
    except jsontext.JSONDecodeError as error:
        raise MalformedBody(
            f"not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    if not isinstance(fields, dict):
        raise MalformedBody("the body must be a JSON object")
    if jsontext.is_nested_too_deep(fields):
        raise MalformedBody(f"the body is nested more than {jsontext.MAX_NESTING} deep")
    return fields


def _stream_of(url: str, fields: dict[str, Any]) -> tuple[bool, bool]:
    """Takes out what is said of the stream: whether there is one, and whether it ends with the usage."""
    is_streamed = _boolean("stream", fields.pop("stream", None))
    options = fields.pop("stream_options", None)
    if is_streamed and ENDPOINTS[url].stream is None:
        raise BodyProblem("stream", f"{url} answers at once: leave stream out", code="unsupported_parameter")
    if options is None:
        return is_streamed, False
    if not is_streamed:
        raise BodyProblem("stream_options", "stream_options needs stream=true")
    if not isinstance(options, Mapping):
        raise BodyProblem("stream_options", "stream_options must be an object")
    for name, value in options.items():
        if name not in ("include_usage", "include_obfuscation"):
            raise BodyProblem(
                "stream_options",
                f"unknown option {echoed(name)}; allowed: include_usage",
                code="unknown_parameter",
            )
        if _boolean(f"stream_options.{name}", value) and name == "include_obfuscation":
            raise BodyProblem(
                "stream_options.include_obfuscation", "include_obfuscation is not served here: leave it out",
                code="unsupported_parameter",
            )  # fmt: skip
    return True, bool(options.get("include_usage"))


def _boolean(name: str, value: Any) -> bool:
    if value is not None and not isinstance(value, bool):
        raise BodyProblem(name, f"{name} must be true or false")
    return bool(value)
