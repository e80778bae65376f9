"""Interactive documents beside bulk work: how long each took, where, and whether a fault was in its way."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from textmill.views import JobView

#: Of a worker that died, leases last 30 s; sweeps and its successor's start take some more.
RECOVERY_SECONDS = 45.0
#: What is promised beside the time that a document takes by itself.
PROMISED_SECONDS = 2.0


@dataclass(frozen=True)
class Single:
    """One of them, from before its submit until its result was read; deleting it is not counted."""

    begun: float  #: by `time.monotonic`
    seconds: float
    waiting_seconds: float  #: accepted, until a worker had it
    working_seconds: float  #: until its result was stored

    @classmethod
    def read(cls, begun: float, job: JobView) -> Single:
        """Its result has just been read."""
        created_at, started_at, finished_at = job.created_at, job.started_at, job.finished_at
        assert created_at is not None
        assert started_at is not None
        assert finished_at is not None
        return cls(
            begun,
            time.monotonic() - begun,
            waiting_seconds=(started_at - created_at).total_seconds(),
            working_seconds=(finished_at - started_at).total_seconds(),
        )

    def meets(self, faults: Sequence[float]) -> bool:
        """Whether something was killed or frozen while it was on its way, or shortly before."""
        return any(self.begun - RECOVERY_SECONDS <= at <= self.begun + self.seconds for at in faults)


def apart(singles: Sequence[Single], faults: Sequence[float]) -> tuple[list[Single], list[Single]]:
    """Those that met no fault, and those that did."""
    met = {single for single in singles if single.meets(faults)}
    return [single for single in singles if single not in met], list(met)
