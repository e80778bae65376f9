"""The body of the call that makes a batch, read while it streams: it may hold the requests themselves."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jobs.echo import echoed
from jobs.errors import MalformedBody, RequestError
from jobs.rows.formats import RawRow
from jobs.rows.json_values import BrokenJson, JsonText, elements
from jobs.rows.requests import end, names

_REQUESTS = "requests"
#: Of the window: whole hours, or days.
_UNIT_SECONDS = {"h": 3600, "d": 86_400}
_MOST_SECONDS = 366 * 86_400


class ExpiresAfter(BaseModel):
    """When a file goes by itself."""

    model_config = ConfigDict(extra="forbid")

    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=3600, le=2_592_000)]


class BatchIn(BaseModel):
    """The fields of such a call, apart from requests that it may hold."""

    model_config = ConfigDict(extra="forbid")

    input_file_id: Annotated[str, Field(max_length=200)] | None = None
    endpoint: str
    completion_window: Annotated[str, Field(pattern=r"^[1-9]\d{0,4}[hd]$")]
    metadata: (
        Annotated[
            dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
            Field(max_length=16),
        ]
        | None
    ) = None
    output_expires_after: ExpiresAfter | None = None

    @property
    def window_seconds(self) -> int:
        """In how many seconds all must be done."""
        window = self.completion_window
        return min(_MOST_SECONDS, int(window[:-1]) * _UNIT_SECONDS[window[-1]])


def batch_fields(chunks: Iterable[bytes], *, max_value_bytes: int) -> tuple[BatchIn, bool]:
    """The fields, and whether the requests stand in the body.

    Raises:
        MalformedBody: not JSON.
        RequestError: a field is missing, wrong or unknown.
        PayloadTooLarge: one value is larger than allowed.
    """
    text = JsonText(chunks, max_value_bytes)
    values: dict[str, Any] = {}
    has_requests = False
    try:
        for name in names(text):
            if name == _REQUESTS and text.next_character() == "[":
                has_requests = True
                for _ in elements(text):
                    pass
            else:
                values[name] = text.value()
        end(text)
    except BrokenJson as broken:
        raise MalformedBody(f"line {broken.line}: {broken}") from None
    if has_requests == (values.get("input_file_id") is not None):
        raise RequestError("give either input_file_id, or the requests themselves as an array `requests`")
    return _checked(values), has_requests


def batch_requests(chunks: Iterable[bytes], *, max_value_bytes: int) -> Iterator[RawRow]:
    """The requests in a body that `batch_fields` found good; the line is the position, from 1."""
    text = JsonText(chunks, max_value_bytes)
    for name in names(text):
        if name != _REQUESTS:
            text.value()
            continue
        for position, (_, value) in enumerate(elements(text), start=1):
            problem = None if isinstance(value, dict) else "a request must be an object"
            yield RawRow(position, None if problem else value, problem, problem_code="invalid_request")


def _checked(values: dict[str, Any]) -> BatchIn:
    try:
        return BatchIn.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            allowed = ", ".join([*BatchIn.model_fields, _REQUESTS])
            raise RequestError(f"unknown field {echoed(name)}; allowed: {allowed}") from None
        if name == "completion_window":
            raise RequestError("completion_window must be 24h, or another time such as 6h or 7d") from None
        raise RequestError(f"{name}: {first['msg']}") from None
