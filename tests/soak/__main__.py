"""`python -m tests.soak docs/soak.md --minutes 60`: runs it, writes the page, 1 when an aim is missed."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.soak.report import page
from tests.soak.run import Soak


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("target", type=Path)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=20261126)
    parser.add_argument("--note", action="append", default=[], help="a line for the page; repeatable")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="textmill-soak-"))
    found = Soak(folder, minutes=options.minutes, seed=options.seed).run()
    found.notes = options.note
    options.target.write_text(page(found))
    for aim in found.aims:
        sys.stdout.write(f"{'met   ' if aim.is_met else 'MISSED'} {aim.words}: {aim.figure}\n")
    if all(aim.is_met for aim in found.aims):
        shutil.rmtree(folder)
        return 0
    sys.stdout.write(f"logs and database: {folder}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
