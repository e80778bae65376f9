"""Calls whose bodies and answers are JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from textmill.transport import Transport


class JsonCalls:
    """Short calls of one server, as the server describes their answers."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """What is at a path; a query parameter that is None is left out."""
        return dict(self._transport.request("GET", path, query=query).json())

    def list(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """The `data` of a list."""
        return list(self.get(path, **query)["data"])

    def send(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Sends a body; the answer."""
        content = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(content))}
        answer = self._transport.request(method, path, headers=headers, body=lambda: [content])
        return dict(answer.json())

    def delete(self, path: str) -> None:
        """Removes what is at a path."""
        self._transport.request("DELETE", path)
