"""Every error the API answers with: RFC 9457 problem documents, and OpenAI's form where its clients call."""

from __future__ import annotations

import logging
from typing import Any

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import compile_path

from api.openai.errors import CallRefused, error_answer, speaks_openai
from jobs.errors import InvalidRows, NotAuthenticated, Overloaded, TextmillError
from jobs.params import InvalidParams

_log = logging.getLogger(__name__)
_TYPE = "urn:textmill:problem:"
_RETRY_SECONDS = 5
_SHOWN_ERRORS = 100
#: Of every answer that sets none of its own: whatever it holds, a browser must run nothing of it.
SAFE_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
#: What is said outside of what does not answer; where it is and why, the log has.
OUTSIDE = {
    "store_unavailable": "the database does not answer; try again soon",
    "broker_unavailable": "Redis does not answer; try again soon",
}


def install_error_handlers(app: FastAPI) -> None:
    """From now on every error of the app has the form that its address asks for."""
    app.add_exception_handler(TextmillError, _ours)
    app.add_exception_handler(InvalidParams, _params)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(ClientDisconnect, _left)
    app.add_exception_handler(Exception, _unforeseen)


def problem(path: str, status: int, code: str, title: str, detail: str, **more: Any) -> Response:
    """What is wrong, as callers of that address read it; `headers` among `more` are those of the answer."""
    headers = more.pop("headers", None)
    if speaks_openai(path):
        return error_answer(status, code, detail, errors=more.get("errors", ()), headers=headers)
    body = {"type": _TYPE + code, "title": title, "status": status, "detail": detail, **more}
    return Response(
        orjson.dumps(body), status_code=status, media_type="application/problem+json", headers=headers
    )


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, TextmillError)
    more: dict[str, Any] = {}
    if isinstance(error, InvalidRows):
        more["errors"] = [{"line": r.line, "field": r.field, "message": r.message} for r in error.rows]
    headers = {}
    if isinstance(error, Overloaded):
        headers["Retry-After"] = str(error.retry_after_seconds)
    elif error.is_retryable:
        headers["Retry-After"] = str(_RETRY_SECONDS)
    if isinstance(error, CallRefused):
        more["errors"] = [{"field": error.param}]
        if not error.may_retry:
            headers["x-should-retry"] = "false"
    if isinstance(error, NotAuthenticated):
        headers["WWW-Authenticate"] = "Bearer"
    if error.http_status >= 500:
        _log.error("request_failed: %s: %s", error.code, error)
    title = error.code.replace("_", " ").capitalize()
    detail = OUTSIDE.get(error.code, str(error))
    return problem(request.url.path, error.http_status, error.code, title, detail, headers=headers, **more)


async def _params(request: Request, error: Exception) -> Response:
    assert isinstance(error, InvalidParams)
    errors = [
        {"line": None, "field": field, "message": message}
        for field, message in error.problems[:_SHOWN_ERRORS]
    ]
    return problem(request.url.path, 422, "invalid_params", "Invalid params", str(error), errors=errors)


async def _validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    # Never echo the input: it may hold what cannot be encoded.
    errors = [
        {"line": None, "field": ".".join(str(p) for p in e["loc"][1:]), "message": str(e["msg"])}
        for e in error.errors()[:_SHOWN_ERRORS]
    ]
    detail = "; ".join(f"{e['field']}: {e['message']}" for e in errors)
    return problem(request.url.path, 422, "invalid_request", "Invalid request", detail, errors=errors)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = {404: "not_found", 405: "method_not_allowed", 413: "payload_too_large"}.get(
        error.status_code, "http"
    )
    headers = dict(error.headers or {})
    if "Allow" in headers and (methods := _methods_of(request)):
        headers["Allow"] = ", ".join(sorted(methods))
    detail = str(error.detail)
    return problem(request.url.path, error.status_code, code, detail, detail, headers=headers)


def _methods_of(request: Request) -> set[str]:
    """What may be done at this address: the router names the methods of the first route there alone."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    methods = {
        method.upper()
        for template, operations in request.app.openapi()["paths"].items()
        if compile_path(template)[0].match(path)
        for method in operations
    }
    return methods | {"HEAD"} if "GET" in methods else methods


async def _left(request: Request, error: Exception) -> Response:
    """Nobody hears this answer; a client that leaves is no error of ours, and one line of log."""
    _log.info("client_left: %s %s", request.method, request.scope["route"].path)
    return Response(status_code=400)


async def _unforeseen(request: Request, error: Exception) -> Response:
    _log.error("request_failed", exc_info=error)
    detail = "An unforeseen error; the server's log has it."
    headers = {**SAFE_HEADERS, "Connection": "close"}  # this answer passes no door
    return problem(request.url.path, 500, "internal_error", "Internal error", detail, headers=headers)
