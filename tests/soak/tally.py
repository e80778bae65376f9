"""What the server answered, counted: by request and status, or that no answer came."""

from __future__ import annotations

import re
import threading
from collections import Counter

import httpx2

NO_ANSWER = 0
_ONE_JOB = re.compile(r"^/v1/jobs/[^/]+")


class Tally:
    """Counts from many threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.answers: Counter[tuple[str, int]] = Counter()  #: by request and status; `NO_ANSWER` among them
        self.events: Counter[str] = Counter()  #: what else happened, in words

    def answer(self, request: str, status: int) -> None:
        """One answer, or none."""
        with self._lock:
            self.answers[request, status] += 1

    def event(self, words: str) -> None:
        """Something worth telling."""
        with self._lock:
            self.events[words] += 1

    @property
    def num_server_errors(self) -> int:
        """Answers of 500 and above, but for 503, which says "try again"."""
        return sum(n for (_, status), n in self.answers.items() if status >= 500 and status != 503)


class Recording(httpx2.BaseTransport):
    """The network, with every answer counted."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._network = httpx2.HTTPTransport(trust_env=False)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        name = f"{request.method} {_ONE_JOB.sub('/v1/jobs/{id}', request.url.path)}"
        try:
            response = self._network.handle_request(request)
        except httpx2.TransportError:
            self._tally.answer(name, NO_ANSWER)
            raise
        self._tally.answer(name, response.status_code)
        return response

    def close(self) -> None:
        self._network.close()
