"""Checks models of the zoo and prints what was found.

    python -m tests.zoo.run                     all of them
    python -m tests.zoo.run --quick             the share of `make test`
    python -m tests.zoo.run Llama "BERT, 3"     those whose `task name` contains one of the words
    python -m tests.zoo.run --lines 5 Llama     with the first 5 documents that differ

Ends with 1 when one differs.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import multiprocessing
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import torch
from transformers.utils import logging as hf_logging

from tests.zoo.check import Finding, check
from tests.zoo.entries import ENTRIES
from tests.zoo.entry import Entry
from tests.zoo.folders import Folders


def check_all(entries: Sequence[Entry], *, processes: int = 1) -> Iterator[Finding]:
    """The findings, in the order of the entries."""
    if processes == 1:
        _become_a_worker()
        yield from map(_checked, entries)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context, initializer=_become_a_worker) as pool:
        yield from pool.map(_checked, entries)


def chosen(words: Sequence[str], *, quick: bool) -> list[Entry]:
    """The entries that are meant."""
    found = [entry for entry in ENTRIES if entry.is_quick or not quick]
    return [
        entry for entry in found if not words or any(word in f"{entry.task} {entry.name}" for word in words)
    ]


def said(finding: Finding, lines: int) -> str:
    """A finding for a person to read."""
    entry = finding.entry
    found = (
        f"{len(finding.alone)} alone, {len(finding.company)} in company"
        if finding.status == "differs"
        else ""
    )
    head = f"{finding.status:8} {entry.task:11} {entry.name} [{finding.way}] {found}"
    return "\n".join([head, *(f"    {line}" for line in [*finding.alone[:lines], *finding.company[:lines]])])


def _become_a_worker() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    hf_logging.set_verbosity_error()
    hf_logging.disable_progress_bar()
    # What a probe finds out here is no business of the developer's own cache.
    os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="zoo-verdicts-")


def _checked(entry: Entry) -> Finding:
    # Reformer prints a line for each argument that it does not know, token by token.
    with tempfile.TemporaryDirectory(prefix="zoo-") as root, contextlib.redirect_stdout(io.StringIO()):
        try:
            return check(entry, Folders(Path(root))[entry])
        except Exception as error:  # the others are still worth knowing
            return Finding(entry=entry, alone=[f"the check itself raised {error!r}"])


def main(arguments: Sequence[str]) -> int:
    """The command; 1 when a model differs."""
    parser = argparse.ArgumentParser(description="Checks models of the zoo.")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--lines", type=int, default=1)
    parser.add_argument("--processes", type=int, default=1)
    asked = parser.parse_args(arguments)
    differing = 0
    for finding in check_all(chosen(asked.words, quick=asked.quick), processes=asked.processes):
        print(said(finding, asked.lines), flush=True)  # noqa: T201
        differing += finding.status == "differs"
    return int(bool(differing))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
