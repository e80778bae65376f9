"""The one worker of this process, for those whom Celery calls without arguments of ours."""

from __future__ import annotations

from workers.worker import Worker

_current: list[Worker] = []


def set_current_worker(worker: Worker) -> None:
    """Called once, before the first message is taken."""
    _current[:] = [worker]


def current_worker() -> Worker:
    """The worker set at start."""
    assert _current, "a Celery task ran before the worker was set up"
    return _current[0]
