"""What every request passes before a route sees it, and every answer on its way out.

Plain ASGI, so that messages of a body go through as they are (see `api/request_timer`).
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import SAFE_HEADERS, problem
from jobs.echo import echoed
from jobs.settings import Settings

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
_FOR_OPERATIONS = frozenset({"/metrics", "/readyz"})


class _Refused(Exception):
    def __init__(self, status: int, code: str, detail: str) -> None:
        self._said = (status, code, code.replace("_", " ").capitalize(), detail)

    def answer(self, path: str) -> Response:
        return problem(path, *self._said, headers={"Connection": "close"})


class Doors:
    """Refuses requests that are not what they seem, and sends every answer with the headers it needs.

    Without keys nothing but the address keeps others out, so that the pages a user has open
    in a browser must not speak for the user: `Host` must be a name of this machine or one
    that is allowed (a foreign name that leads here is DNS rebinding), and a request that
    changes something must come from a page of ours or from no page at all.
    """

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        self._hosts = frozenset(name.lower().rstrip(".") for name in settings.allowed_hosts)
        self._origins = frozenset(settings.allowed_origins)
        self._has_keys = bool(settings.has_keys)
        self._operations_port = settings.operations_port

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        send = _with_headers(send)
        try:
            self._check(scope)
        except _Refused as refused:
            await refused.answer(scope["path"])(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if "transfer-encoding" in headers and "content-length" in headers:
            raise _Refused(
                400,
                "ambiguous_length",
                "Content-Length and Transfer-Encoding contradict each other; send one",
            )
        self._check_host(headers)
        if not self._has_keys and scope["method"] not in _SAFE_METHODS:
            _check_origin(headers, self._origins)
        self._check_port(scope)

    def _check_host(self, headers: Headers) -> None:
        host = headers.get("host", "")
        name = (urlsplit(f"//{host}").hostname or "").rstrip(".") if _is_sound(host) else ""
        if (
            name in self._hosts
            or "*" in self._hosts
            or (not self._hosts and self._has_keys)
            or _is_loopback(name)
        ):
            return
        raise _Refused(
            400, "unknown_host",
            f"this server is not known as {echoed(host)}; TEXTMILL_ALLOWED_HOSTS lists the names it goes by",
        )  # fmt: skip

    def _check_port(self, scope: Scope) -> None:
        if self._operations_port is None:
            return
        is_operations = (scope.get("server") or ("", None))[1] == self._operations_port
        if scope["path"] != "/healthz" and is_operations != (scope["path"] in _FOR_OPERATIONS):
            raise _Refused(404, "not_found", "there is no such page on this port")


def _is_sound(host: str) -> bool:
    try:
        return bool(urlsplit(f"//{host}").port or True) and not set(host) & set("/?#@\\")
    except ValueError:
        return False


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _check_origin(headers: Headers, allowed: frozenset[str]) -> None:
    """Browsers name the page that a request comes from; other programs have no reason to."""
    origin = headers.get("origin")
    if origin in allowed:
        return
    if origin is not None and urlsplit(origin).netloc.lower() != headers.get("host", "").lower():
        raise _Refused(
            403, "foreign_origin", f"this request comes from a page of {echoed(origin)}, not of ours"
        )
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        raise _Refused(403, "foreign_origin", "this request comes from a page of another site")


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SAFE_HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("X-Request-Id", f"req_{secrets.token_hex(12)}")
        await send(message)

    return sending


def cors_options(settings: Settings) -> dict[str, Any]:
    """For Starlette's middleware: what pages of the origins that are named may send, and read.

    No cookies: a page that may call has a key of its own, and sends it.
    """
    return {
        "allow_origins": settings.allowed_origins,
        "allow_methods": ["GET", "HEAD", "POST", "PATCH", "DELETE"],
        "allow_headers": [
            "Authorization", "Content-Type", "Content-Encoding", "Idempotency-Key", "If-None-Match",
            "Last-Event-ID", "Prefer",
        ],
        "expose_headers": [
            "ETag", "Link", "Location", "RateLimit", "RateLimit-Policy", "Retry-After", "Textmill-Job-Status",
            "Textmill-Note", "Textmill-Result-Count",
        ],
    }  # fmt: skip


class HeadAnswers:
    """Answers HEAD wherever GET is answered: the same headers, and no body."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        begun = asyncio.Event()
        is_asked = False

        async def head(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                begun.set()

        async def hear() -> Message:
            # A stream of events would go on for ever for somebody who wants none of it.
            nonlocal is_asked
            if not is_asked:
                is_asked = True
                return {"type": "http.request", "body": b"", "more_body": False}
            await begun.wait()
            return {"type": "http.disconnect"}

        scope["method"] = "GET"
        await self._app(scope, hear, head)
