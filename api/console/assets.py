"""The files that pages are made of, each under an address that names its content."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable

_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_SHOWN_OF_DIGEST = 12


@lru_cache
def content(name: str) -> tuple[bytes, str] | None:
    """The bytes of a file and their type; None: there is none, or it is not for browsers."""
    found = _names().get(name)
    return None if found is None else (found.read_bytes(), _TYPES[_suffix(name)])


@lru_cache
def address(name: str) -> str:
    """Where a page finds the file: another content has another address, so that browsers may keep it."""
    found = content(name)
    assert found is not None, f"there is no {name}"
    return f"/static/{name}?v={_digest(found[0])}"


def is_current(name: str, version: str) -> bool:
    """Whether that is the version which is here."""
    return address(name).endswith(f"?v={version}")


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:_SHOWN_OF_DIGEST]


@lru_cache
def _names() -> dict[str, Traversable]:
    return dict(_below(files("api") / "static", ""))


def _below(folder: Traversable, path: str) -> list[tuple[str, Traversable]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir():
            found += _below(entry, f"{path}{entry.name}/")
        elif _suffix(entry.name) in _TYPES:
            found.append((path + entry.name, entry))
    return found


def _suffix(name: str) -> str:
    return f".{name.rpartition('.')[2]}"
