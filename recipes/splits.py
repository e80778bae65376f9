"""Deterministic splits by a key, so that nothing close to a test row is trained on."""

from __future__ import annotations

import hashlib
from typing import Literal

Split = Literal["train", "dev", "test"]


def split_of(key: str, *, dev_share: float, test_share: float, salt: str = "textmill") -> Split:
    """Where everything with this key belongs: the same on every machine, for ever.

    The key is what must not be torn apart: an article, an English sentence, a book.
    """
    digest = hashlib.sha256(f"{salt}:{key}".encode()).digest()
    point = int.from_bytes(digest[:8], "big") / 2**64
    if point < test_share:
        return "test"
    return "dev" if point < test_share + dev_share else "train"
