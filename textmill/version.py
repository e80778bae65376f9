"""Which Textmill this is."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version


def installed_version() -> str:
    """The version of the installed distribution; `source` when run from a checkout."""
    try:
        return version("textmill")
    except PackageNotFoundError:
        return "(source)"
