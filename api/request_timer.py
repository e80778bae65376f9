"""How long every request takes, measured without standing between the app and the wire."""

from __future__ import annotations

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import Metrics

#: Anything else a client calls a method is one label: clients must not make labels.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestTimer:
    """Plain ASGI middleware: messages pass through as they are.

    Starlette's `BaseHTTPMiddleware` ends a response body in order even when the app
    failed half way, and a download cut short would look whole.
    """

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        method = scope["method"] if scope["method"] in _METHODS else "other"

        async def observe(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "unmatched")
                seconds = time.perf_counter() - started
                self._metrics.request_seconds.labels(method, route, str(message["status"])).observe(seconds)
            await send(message)

        await self._app(scope, receive, observe)
