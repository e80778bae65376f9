"""What a check finds: the values behind `textmill doctor`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check came out."""

    OK = "ok"
    NOTE = "note"  #: fine, but worth knowing
    MISSING = "missing"  #: something will not work


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the report."""

    name: str
    verdict: Verdict
    text: str
    remedy: str = ""


def ok(name: str, text: str) -> Check:
    """All is well."""
    return Check(name=name, verdict=Verdict.OK, text=text)


def note(name: str, text: str, remedy: str = "") -> Check:
    """It works, and there is something to know."""
    return Check(name=name, verdict=Verdict.NOTE, text=text, remedy=remedy)


def missing(name: str, text: str, remedy: str = "") -> Check:
    """It does not work."""
    return Check(name=name, verdict=Verdict.MISSING, text=text, remedy=remedy)
