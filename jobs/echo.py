"""Values of callers in messages: short, and visible as what they are."""

from __future__ import annotations

MAX_CHARACTERS = 80


def echoed(value: object) -> str:
    """The value in quotes, cut short when it is long."""
    text = value if isinstance(value, str) else str(value)
    return repr(text) if len(text) <= MAX_CHARACTERS else f"{text[:MAX_CHARACTERS]!r}..."
