"""Keys for an administrator: which live, whose they are, and the one that was just made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from jobs.keys import ApiKey, Origin


@dataclass(frozen=True)
class KeyView:
    """A key, never itself."""

    key: ApiKey

    @property
    def status(self) -> tuple[str, str]:
        """Class and word."""
        if not self.key.is_live:
            return "cancelled", "Ended"
        return ("attention", "Ends soon") if self.key.ends_at is not None else ("completed", "Active")

    @property
    def may(self) -> str:
        """What it opens."""
        return "administer, every project" if self.key.is_admin else "submit and read"

    @property
    def comes_from(self) -> str:
        """Where it would have to be changed."""
        return "from the settings" if self.key.origin is Origin.SETTINGS else ""

    @property
    def may_be_rotated(self) -> bool:
        """Whether another can take its place; one of the settings is changed there."""
        return self.key.is_live and self.key.origin is Origin.MADE


@dataclass(frozen=True)
class KeysPage:
    """All keys, live ones first."""

    keys: Sequence[KeyView]
    projects: Sequence[str]
    made: tuple[str, str] | None = None  #: name and key: shown now and never again
    wrong: str = ""

    @property
    def headline(self) -> str:
        """How many live."""
        live = sum(view.key.is_live for view in self.keys)
        return f"{live:,} active. A key sees the jobs of its own project and nothing else."


def keys_page(
    keys: Sequence[ApiKey], projects: Sequence[str], *, made: tuple[str, str] | None = None, wrong: str = ""
) -> KeysPage:
    """From the key book."""
    ordered = sorted(keys, key=lambda key: (not key.is_live, -key.created_at.timestamp()))
    return KeysPage([KeyView(key) for key in ordered], projects, made, wrong)
