"""Survivors that somebody has looked at, each with the reason why no test need notice it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from mutmut.mutation.diff_apply import get_diff_for_mutant

_FILE = Path(__file__).with_name("survivors.toml")


@dataclass(frozen=True)
class Change:
    """What a mutant changes. Its number shifts with the code; this does not."""

    where: str  #: module, class and function
    was: str
    became: str


def read_accepted() -> dict[Change, str]:
    """The reason for each."""
    entries = tomllib.loads(_FILE.read_text()).get("survivor", [])
    return {Change(each["where"], each["was"], each["became"]): each["reason"] for each in entries}


def change_of(mutant: str) -> Change:
    """Read from mutmut's diff of one function: the first lines that differ."""
    lines = get_diff_for_mutant(mutant).splitlines()
    was = [line[1:].strip() for line in lines if line.startswith("-") and not line.startswith("---")]
    became = [line[1:].strip() for line in lines if line.startswith("+") and not line.startswith("+++")]
    return Change(readable(mutant), " ".join(was), " ".join(became))


def readable(mutant: str) -> str:
    """`jobs.slicing.SlicePlanner.place` from mutmut's own name of a mutant of it."""
    module, _, function = mutant.rpartition("__mutmut_")[0].rpartition(".")
    return f"{module}.{function.removeprefix('x_').removeprefix('xǁ').replace('ǁ', '.')}"
