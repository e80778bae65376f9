"""Texts that are kept for testing, known by their digests alone: no training set may hold one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from pathlib import Path

_DIGITS = 20
_LEFT_OUT = re.compile("[^a-z0-9äöüß]")


def read_heldout(data: Path) -> frozenset[str]:
    """The digests in `heldout.sha256`."""
    return frozenset((data / "heldout.sha256").read_text(encoding="utf-8").split())


def digest_of(text: str) -> str:
    """As that file names a text: SHA-256 of its letters and digits in lower case, 20 hex digits."""
    return hashlib.sha256(_LEFT_OUT.sub("", text.lower()).encode()).hexdigest()[:_DIGITS]


def is_heldout(heldout: Collection[str], *texts: str) -> bool:
    """Whether any of these texts is kept for testing."""
    return any(digest_of(text) in heldout for text in texts)
