"""Flower: the view of every slice on its way through Celery. Optional; nothing depends on it."""

from __future__ import annotations

import importlib.util
import signal
from collections.abc import Mapping
from pathlib import Path

from textmill.stack.child import Program, python
from textmill.stack.environment import Needs

FIRST_PORT = 5555
_CONFIGURATION = Path(__file__).with_name("flowerconfig.py")


def is_installed() -> bool:
    """Whether the extra `flower` is there."""
    return importlib.util.find_spec("flower") is not None


def program(folder: Path, *, port: int, environment: Mapping[str, str]) -> Program:
    """How to run it: loopback only."""
    return Program(
        name="flower",
        command=python(
            "celery",
            "-A",
            "workers.celery_app:app",
            "flower",
            f"--conf={_CONFIGURATION}",
            "--address=127.0.0.1",  # without a password it must not be seen from elsewhere
            f"--port={port}",
        ),
        environment=environment,
        needs=Needs.SETTINGS | Needs.BROKER,
        # Celery puts the working folder first on the path; in ours no module can be shadowed.
        folder=folder,
        orphan_signal=signal.SIGTERM,
        grace_seconds=5.0,
    )
