"""Errors in the form that OpenAI's clients read, at the addresses that are theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from fastapi import Response

from jobs.errors import RequestError, RowError
from jobs.records import DocumentStatus, ResultRow

PREFIXES = (
    "/v1/files", "/v1/batches", "/v1/chat", "/v1/completions", "/v1/responses",
    "/v1/translations", "/v1/sentiment", "/v1/answers",
)  # fmt: skip
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


#: What workers say of a document that is itself the reason; all else is the server's.
_OF_THE_REQUEST = frozenset(
    {"too_long", "invalid_parameter", "invalid_params", "document_error", "not_finite"}
)


class CallRefused(RequestError):
    """A single call that is not answered: `param` is what is wrong with it, if it is that."""

    def __init__(
        self, message: str, *, code: str, param: str | None = None, status: int = 400, may_retry: bool = True
    ) -> None:
        super().__init__(message)
        self.code = code
        self.param = param
        self.http_status = status
        self.may_retry = may_retry  #: whether a client that retries by itself should

    @classmethod
    def of_row(cls, row: RowError) -> CallRefused:
        """What is wrong with the one row that a request becomes."""
        code = row.code or "invalid_value"
        param = None if row.field is None else row.field.removeprefix("params.")
        message = row.message if param is None or param in row.message else f"{param}: {row.message}"
        return cls(message, code=code, param=param, status=404 if code == "model_not_found" else 400)


def status_of_failure(error_code: str | None) -> int:
    """The status of HTTP that a failed document's reason has."""
    return 400 if error_code in _OF_THE_REQUEST else 500


def failure_of(row: ResultRow) -> CallRefused:
    """What a call is told whose document did not succeed. It would fail again, so nobody need try."""
    if row.status is DocumentStatus.CANCELLED:
        return CallRefused("the call was cancelled", code="cancelled", status=409, may_retry=False)
    if row.status is DocumentStatus.EXPIRED:
        message = "the call was not computed in time: no worker was free for it"
        return CallRefused(message, code="expired", status=504, may_retry=False)
    return CallRefused(
        row.error_message or "the request failed",
        code=row.error_code or "failed",
        status=status_of_failure(row.error_code),
        may_retry=False,
    )


def speaks_openai(path: str) -> bool:
    """Whether an address is one of those."""
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in PREFIXES)


def error_body(status: int, code: str | None, message: str, param: str | None = None) -> dict[str, Any]:
    """The object that such an answer holds."""
    kind = _TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def error_answer(
    status: int,
    code: str,
    message: str,
    *,
    errors: Sequence[Mapping[str, Any]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error as the stock client raises it.

    Args:
        status: Of HTTP; a request that cannot be accepted (422) is a bad one (400) to this client.
        code: Stable, for programs.
        message: What is wrong and what to do.
        errors: What is wrong with which field; the first one's is `param`.
        headers: More of them.
    """
    status = 400 if status == 422 else status
    sent = dict(headers or {})
    if status == 409:
        sent["x-should-retry"] = "false"  # the client would else send it again, and again in vain
    param = next((error.get("field") for error in errors), None)
    body = error_body(status, code, message, param)
    return Response(orjson.dumps(body), status_code=status, media_type="application/json", headers=sent)
