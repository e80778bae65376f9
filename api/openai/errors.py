"""Errors in the form that OpenAI's clients read, at the addresses that are theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from fastapi import Response

PREFIXES = ("/v1/files", "/v1/batches")
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


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
