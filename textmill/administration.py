"""Projects and keys of a server, for who has an administrator's key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from textmill.json_calls import JsonCalls
from textmill.transport import Transport


class Administration:
    """What an administrator may do. Keys and projects are given as the server describes them."""

    def __init__(self, transport: Transport) -> None:
        self._calls = JsonCalls(transport)

    def keys(self, *, project: str | None = None) -> list[dict[str, Any]]:
        """Every key, or those of a project; ended ones as well."""
        return self._calls.list("/v1/keys", project=project)

    def create_key(self, name: str, *, project: str | None = None, is_admin: bool = False) -> dict[str, Any]:
        """A new key; `key` in the answer is the key itself, told this once."""
        of = {"admin": True} if is_admin else {"project": project} if project is not None else {}
        return self._calls.send("POST", "/v1/keys", {"name": name, **of})

    def rotate_key(self, key_id: str, *, overlap_seconds: float = 0.0) -> dict[str, Any]:
        """A new key in the place of one, which ends after the overlap; the project keeps its jobs."""
        return self._calls.send("POST", f"/v1/keys/{key_id}/rotate", {"overlap_seconds": overlap_seconds})

    def revoke_key(self, key_id: str) -> None:
        """Ends a key at once."""
        self._calls.delete(f"/v1/keys/{key_id}")

    def projects(self) -> list[dict[str, Any]]:
        """Every project."""
        return self._calls.list("/v1/projects")

    def limit_project(self, name: str, limits: Mapping[str, int]) -> dict[str, Any]:
        """Gives a project limits over the server's own, in place of those it had."""
        return self._calls.send("PATCH", f"/v1/projects/{name}", {"limits": dict(limits)})

    def create_project(self, name: str) -> dict[str, Any]:
        """A new project."""
        return self._calls.send("POST", "/v1/projects", {"name": name})
