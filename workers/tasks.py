"""The Celery tasks: one per kind of work, so that Flower tells them apart. Thin on purpose.

While a release is replaced, messages of both are in the queues: what a later one adds to a message
is passed over, since the ledger has all that a slice needs.
"""

from __future__ import annotations

import time
from typing import Any

from jobs.broker import TASK_NAMES
from jobs.records import SliceKey, Task
from workers.celery_app import app
from workers.process import current_worker

_PROGRESS_SECONDS = 1.0  # Flower is told no oftener


class _Progress:
    """Tells Flower how far a slice is, at most once a second. Counts only, never text."""

    def __init__(self, task: Any) -> None:
        self._task = task
        self._told_at = time.monotonic()

    def __call__(self, settled: int, total: int) -> None:
        now = time.monotonic()
        if now - self._told_at >= _PROGRESS_SECONDS:
            self._told_at = now
            self._task.send_event("task-progress", result=f"{settled}/{total} documents")


def _run(task: Any, key: str) -> dict[str, Any]:
    return current_worker().run_slice(SliceKey.parse(key), on_progress=_Progress(task))


@app.task(name=TASK_NAMES[Task.GENERATION], bind=True)
def generate(self: Any, key: str, **_of_later_releases: Any) -> dict[str, Any]:
    """Continues the prompts of one slice."""
    return _run(self, key)


@app.task(name=TASK_NAMES[Task.TRANSLATION], bind=True)
def translate(self: Any, key: str, **_of_later_releases: Any) -> dict[str, Any]:
    """Translates the documents of one slice."""
    return _run(self, key)


@app.task(name=TASK_NAMES[Task.SENTIMENT], bind=True)
def sentiment(self: Any, key: str, **_of_later_releases: Any) -> dict[str, Any]:
    """Labels the documents of one slice."""
    return _run(self, key)


@app.task(name=TASK_NAMES[Task.QA], bind=True)
def answer(self: Any, key: str, **_of_later_releases: Any) -> dict[str, Any]:
    """Answers the questions of one slice."""
    return _run(self, key)
