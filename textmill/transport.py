"""Requests that survive a server's bad minute: retries, back-off, typed errors.

Every request sent through here may be repeated: reads are harmless, and submissions
carry an Idempotency-Key.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx2

from jobs.errors import ConfigurationError, RowError
from textmill.errors import RequestRefused, ServerUnreachable, StrangeAddress

_RETRIED_STATUSES = frozenset({429, 502, 503, 504})
_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 10.0
_READ_TIMEOUT_SECONDS = 90.0  # above the longest long poll (60 s)

#: Makes a request body afresh for each try.
Body = Callable[[], Iterable[bytes]]


class Transport:
    """One HTTP client with one policy of patience."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None,
        retry_seconds: float,
        first_contact_seconds: float,
        transport: httpx2.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigurationError(f"the server's address must begin with http:// or https://, not {url!r}")
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        if is_loopback(url):
            headers["Accept-Encoding"] = "identity"  # to pack costs more than to send
        self.url = url.rstrip("/")
        self._client = httpx2.Client(
            base_url=self.url,
            headers=headers,
            timeout=httpx2.Timeout(_READ_TIMEOUT_SECONDS, connect=5.0),
            transport=transport,
            trust_env=not is_loopback(url),
        )
        self._retry_seconds = retry_seconds
        self._first_contact_seconds = first_contact_seconds
        self._sleep = sleep
        self._clock = clock
        self._has_answered = False

    def close(self) -> None:
        """Gives back the connections."""
        self._client.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
    ) -> httpx2.Response:
        """Sends until there is an answer that is not "try again".

        Raises:
            RequestRefused: the server said no.
            ServerUnreachable: no answer within the time this client has patience for.
        """
        return self._send(method, path, query=query, headers=headers, body=body, is_read=True)

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[httpx2.Response]:
        """As `request`, with the body of the answer still to be read."""
        response = self._send(method, path, query=query, headers=headers, body=None, is_read=False)
        try:
            yield response
        finally:
            response.close()

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None,
        headers: Mapping[str, str] | None,
        body: Body | None,
        is_read: bool,
    ) -> httpx2.Response:
        patience = _Patience(self._sleep, self._clock)
        set_query = {key: value for key, value in (query or {}).items() if value is not None}
        while True:
            content = None if body is None else body()
            request = self._client.build_request(
                method, path, params=set_query or None, headers=headers, content=content
            )
            if not _is_under(request.url, self._client.base_url):
                raise StrangeAddress(f"{self.url} points to another server, {request.url.host}: not followed")
            try:
                response = self._client.send(request, stream=True)
                self._has_answered = True
                if is_read or response.status_code >= 400:
                    response.read()
            except httpx2.TransportError as error:
                if patience.rest(None, self._patience_seconds):
                    continue
                raise ServerUnreachable(self._describe(error)) from error
            if response.status_code in _RETRIED_STATUSES and patience.rest(
                _retry_after(response), self._patience_seconds
            ):
                continue
            if response.status_code >= 400:
                raise refusal(response)
            return response

    @property
    def _patience_seconds(self) -> float:
        # A server that never answered is probably not there: say so soon.
        return self._retry_seconds if self._has_answered else self._first_contact_seconds

    def _describe(self, error: Exception) -> str:
        return f"no answer from {self.url}: {error or type(error).__name__}"


class _Patience:
    """The rests between the tries of one request."""

    def __init__(self, sleep: Callable[[float], None], clock: Callable[[], float]) -> None:
        self._sleep = sleep
        self._clock = clock
        self._started_at = clock()
        self._pause_seconds = _FIRST_PAUSE_SECONDS

    def rest(self, asked_seconds: float | None, budget_seconds: float) -> bool:
        """Rests as long as the server asked, else a growing while; False: the budget is spent."""
        wait_seconds = asked_seconds
        if wait_seconds is None:
            wait_seconds = self._pause_seconds * random.uniform(0.75, 1.25)  # so that clients spread out
            self._pause_seconds = min(_LONGEST_PAUSE_SECONDS, self._pause_seconds * 2)
        if self._clock() - self._started_at + wait_seconds > budget_seconds:
            return False
        self._sleep(wait_seconds)
        return True


def _is_under(url: httpx2.URL, base: httpx2.URL) -> bool:
    """Whether it is the server that was named: the key is for no other."""
    return (url.scheme, url.host, url.port) == (base.scheme, base.host, base.port)


def is_loopback(url: str) -> bool:
    """Whether the address is on this machine, where a proxy of the environment has no business."""
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def refusal(response: httpx2.Response) -> RequestRefused:
    """The server's problem document (RFC 9457) as an error; any other body as its text."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        return RequestRefused(response.status_code, response.reason_phrase, response.text[:500].strip())
    return RequestRefused(
        response.status_code,
        str(problem.get("title") or response.reason_phrase),
        str(problem.get("detail") or ""),
        code=str(problem.get("code") or problem.get("type") or ""),
        rows=[_row(item) for item in problem.get("errors") or [] if isinstance(item, dict)],
    )


def _row(item: Mapping[str, Any]) -> RowError:
    line = item.get("line")
    return RowError(
        line=line if isinstance(line, int) else None,
        field=item.get("field"),
        message=str(item.get("message") or ""),
    )


def _retry_after(response: httpx2.Response) -> float | None:
    try:
        return max(0.0, float(response.headers["Retry-After"]))
    except (KeyError, ValueError):  # absent, or the form with a date, which our server never sends
        return None
