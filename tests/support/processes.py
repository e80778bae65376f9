"""Looking at real processes, through /proc (Linux)."""

from __future__ import annotations

import os
from pathlib import Path


def children_of(pid: int) -> dict[int, str]:
    """The child processes of one, with their command lines."""
    listing = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child): command_line(int(child)) for child in listing}


def command_line(pid: int) -> str:
    """The command line, its arguments parted by spaces; empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def processes_of(folder: Path) -> dict[int, str]:
    """Every process that was started for a data folder: it says so in its arguments or environment."""
    needle = os.fsencode(folder)
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal() or int(entry.name) == os.getpid():
            continue
        try:
            traces = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
        except OSError:  # gone, or somebody else's
            continue
        if needle in traces:
            found[int(entry.name)] = command_line(int(entry.name))
    return found
