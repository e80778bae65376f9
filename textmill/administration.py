"""Projects and keys of a server, for who has an administrator's key."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from textmill.transport import Transport


class Administration:
    """What an administrator may do. Keys and projects are given as the server describes them."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def keys(self, *, project: str | None = None) -> list[dict[str, Any]]:
        """Every key, or those of a project; ended ones as well."""
        return self._list("/v1/keys", project=project)

    def create_key(self, name: str, *, project: str | None = None, is_admin: bool = False) -> dict[str, Any]:
        """A new key; `key` in the answer is the key itself, told this once."""
        of = {"admin": True} if is_admin else {"project": project} if project is not None else {}
        return self._post("/v1/keys", {"name": name, **of})

    def rotate_key(self, key_id: str, *, overlap_seconds: float = 0.0) -> dict[str, Any]:
        """A new key in the place of one, which ends after the overlap; the project keeps its jobs."""
        return self._post(f"/v1/keys/{key_id}/rotate", {"overlap_seconds": overlap_seconds})

    def revoke_key(self, key_id: str) -> None:
        """Ends a key at once."""
        self._transport.request("DELETE", f"/v1/keys/{key_id}")

    def projects(self) -> list[dict[str, Any]]:
        """Every project."""
        return self._list("/v1/projects")

    def limit_project(self, name: str, limits: Mapping[str, int]) -> dict[str, Any]:
        """Gives a project limits over the server's own, in place of those it had."""
        return self._send("PATCH", f"/v1/projects/{name}", {"limits": dict(limits)})

    def create_project(self, name: str) -> dict[str, Any]:
        """A new project."""
        return self._post("/v1/projects", {"name": name})

    def _list(self, path: str, **query: Any) -> list[dict[str, Any]]:
        return list(self._transport.request("GET", path, query=query).json()["data"])

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._send("POST", path, body)

    def _send(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        content = json.dumps(body).encode()
        headers = {"Content-Type": "application/json", "Content-Length": str(len(content))}
        answer = self._transport.request(method, path, headers=headers, body=lambda: [content])
        return dict(answer.json())
