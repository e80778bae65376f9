"""What a Celery task adds to the run of its slice."""

from __future__ import annotations

import time

import pytest
from kombu.exceptions import OperationalError

from workers.tasks import _Progress


class Task:
    """Celery's, over a Redis that is gone."""

    num_events = 0

    def send_event(self, kind: str, **fields: object) -> None:
        self.num_events += 1
        raise OperationalError("Connection refused.")


def test_progress_that_cannot_be_told_does_not_end_the_slice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A soak found it: slices were given up, and counted as crashed, for an event that only Flower reads."""
    task = Task()
    progress = _Progress(task)
    later = time.monotonic() + 10
    monkeypatch.setattr(time, "monotonic", lambda: later)
    progress(3, 64)
    assert task.num_events == 1
