"""Texts that are kept for testing: no training set may hold one.

The list has the first 20 hex digits of the SHA-256 of each text in lower case, with
everything but a-z, 0-9, ä, ö, ü and ß removed, so that spacing and marks make no difference.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Set
from pathlib import Path

_DROPPED = re.compile(r"[^a-z0-9äöüß]")
_DIGITS = 20


def key_of(text: str) -> str:
    """What the list calls a text."""
    return hashlib.sha256(_DROPPED.sub("", text.lower()).encode()).hexdigest()[:_DIGITS]


def read_held_out(data: Path) -> frozenset[str]:
    """The keys of `heldout.sha256`; a data folder without that file keeps nothing back."""
    path = data / "heldout.sha256"
    return frozenset(path.read_text(encoding="ascii").split()) if path.exists() else frozenset()


def is_kept(text: str, held_out: Set[str]) -> bool:
    """True when the text, one of its lines or one of its sentences is on the list."""
    parts = {text, *text.splitlines(), *re.split(r"(?<=[.!?])\s+", text)}
    return any(key_of(part) in held_out for part in parts if part)


def without_kept(texts: Iterable[str], held_out: Set[str]) -> list[str]:
    """The texts that may be trained on."""
    return [text for text in texts if not is_kept(text, held_out)]
