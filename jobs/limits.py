"""What a project and a key may use: names and amounts. Who is not limited by name is not limited."""

from __future__ import annotations

from collections.abc import Mapping

#: Each limit with what it bounds.
LIMITS = {
    "requests_per_minute": "calls of all keys of a project in a minute",
    "key_requests_per_minute": "calls of one key in a minute",
    "queued_documents": "documents of a project that are not settled yet",
    "queued_tokens": "work in them, in estimated tokens",
    "interactive_documents": "of these, interactive ones; jobs beyond are taken as bulk (0: always)",
    "stored_bytes": "bytes of a project's files and of the documents of its jobs, until these are deleted",
}

_MAY_BE_NONE = "interactive_documents"
_MOST = 2**53 - 1  # the largest that every reader of JSON keeps to the digit


def parse_limits(text: str) -> dict[str, int]:
    """`NAME=NUMBER`, apart by spaces or commas.

    Raises:
        ValueError: a name is unknown or an amount not one that it may have.
    """
    limits: dict[str, int] = {}
    for part in text.replace(",", " ").split():
        name, _, amount = part.partition("=")
        if not amount.isdecimal():
            raise ValueError(f"{part!r}: write NAME=NUMBER, such as requests_per_minute=600")
        limits[name] = int(amount)
    return check_limits(limits)


def check_limits(limits: Mapping[str, int]) -> dict[str, int]:
    """The limits, when all of them are known and have an amount that they may have.

    Raises:
        ValueError: one is not.
    """
    for name, amount in limits.items():
        if name not in LIMITS:
            raise ValueError(f"there is no limit {name[:80]!r}; there are {', '.join(LIMITS)}")
        least = int(name != _MAY_BE_NONE)
        if not least <= amount <= _MOST:
            raise ValueError(f"{name} must be at least {least}, and {_MOST} at most")
    return dict(limits)
