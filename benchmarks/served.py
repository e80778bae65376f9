"""A server that benchmarks ask: a running one, or one of their own with given models."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from textmill.client import Textmill
from textmill.stack.background import BackgroundStack


@contextmanager
def served(models: Mapping[str, str | None], *, url: str | None = None) -> Iterator[Textmill]:
    """A client of the server.

    Args:
        models: by task, a folder or id instead of the bundled model; None: the bundled one.
        url: of a server that runs already, with whatever models it has; None: one is started.
    """
    if url:
        with Textmill(url) as server:
            yield server
        return
    flags = ["--no-flower", *(f"--model={task}={name}" for task, name in models.items() if name)]
    with (
        tempfile.TemporaryDirectory(prefix="textmill-benchmark-") as folder,
        BackgroundStack(Path(folder) / "data", flags=flags) as stack,
        Textmill(stack.url) as server,
    ):
        yield server
