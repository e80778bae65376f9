"""Proves a model in a process of its own, without keys or database: its files are somebody else's."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from textmill.errors import NotInstalled
from textmill.installing.offers import Files
from textmill.stack.child import Program, python, spawn
from textmill.stack.environment import Needs
from textmill.stack.supervisor import describe_exit, tail

_POLL_SECONDS = 0.05


def prove(
    files: Files,
    draft: Path,
    *,
    name: str,
    task: str | None,
    dtype: str,
    device: str,
    defaults: Mapping[str, Any],
) -> dict[str, Any]:
    """What `python -m models.installing` finds; with a GGUF file it makes the model's folder first.

    Raises:
        NotInstalled: the model cannot be served; the message says why.
    """
    report, log = draft / "report.json", draft / "proof.log"
    arguments = ["--report", str(report), "--name", name, "--dtype", dtype, "--device", device]
    if task is not None:
        arguments += ["--task", task]
    if files.gguf is not None:
        arguments += ["--gguf", str(files.gguf), "--defaults", json.dumps(dict(defaults))]
    program = Program(
        name="proof",
        command=python("models.installing", str(files.folder), *arguments),
        environment={"HF_HUB_OFFLINE": "1"},  # everything is here
        needs=Needs.MODELS,
    )
    process = spawn(program, log)
    try:
        while (code := process.poll()) is None:
            time.sleep(_POLL_SECONDS)
    except BaseException:  # Ctrl-C is for us alone: it leads a session of its own
        process.send_signal(signal.SIGKILL)
        raise
    found = _read(report)
    if code == 0 and found is not None:
        return found
    if found is not None and "error" in found:
        raise NotInstalled(f"{name} cannot be served: {found['error']}")
    memory = "; most likely it does not fit the memory" if code == -signal.SIGKILL else ""
    raise NotInstalled(f"the proof of {name} {describe_exit(code)}{memory}:\n{tail(log)}")


def _read(report: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(report.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
