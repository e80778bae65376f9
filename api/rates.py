"""How fast a job goes and when it will be done, from what was seen of it lately.

The rate is that of the last half minute, not of the whole job: a job that waited an
hour and then runs fast has a short ETA. It counts documents that were computed, in this run:
not those that a cancel or the clock settled by the thousand, nor those from before a retry.
Kept in this process; a client that asks another one gets that one's view.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from datetime import UTC, datetime

from api.schemas import JobOut, RateOut, job_out
from jobs.records import Job, JobStatus

_WINDOW_SECONDS = 30.0
_MOST_JOBS = 10_000
#: After that nobody is looking on: without its samples, a job has the mean since it started.
_KEPT_SECONDS = 300.0
_SAMPLES = 64


class Rates:
    """Samples of progress per job."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._samples: OrderedDict[str, deque[tuple[float, int, int]]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Jobs of which samples are kept."""
        with self._lock:
            return len(self._samples)

    def view(self, job: Job) -> JobOut:
        """The job with its rate and ETA."""
        documents, tokens = self._final(job) if job.status.is_final else self._running(job)
        rate = RateOut(documents_per_second=documents, tokens_per_second=tokens)
        left = job.counts.total - job.counts.settled
        # Nothing more is computed of a job that is being cancelled.
        is_known = documents and job.status is not JobStatus.CANCELLING
        eta = 0.0 if job.status.is_final else (left / documents if documents and is_known else None)
        return job_out(job, rate, None if eta is None else round(eta, 1))

    def _running(self, job: Job) -> tuple[float | None, float | None]:
        if job.started_at is None:  # most are never looked at again
            return None, None
        now = self._clock()
        sample = (now, job.counts.computed, job.input_tokens + job.output_tokens)
        with self._lock:
            self._forget(now)
            samples = self._samples.setdefault(job.id, deque(maxlen=_SAMPLES))
            self._samples.move_to_end(job.id)
            if samples and samples[-1][1] > sample[1]:
                samples.clear()  # it was retried
            if not samples or now - samples[-1][0] >= _WINDOW_SECONDS / _SAMPLES:
                samples.append(sample)
            # Keep one sample beyond the window, so that a rate is known after a pause too.
            while len(samples) > 2 and samples[1][0] < now - _WINDOW_SECONDS:
                samples.popleft()
            first = samples[0]
        seconds = now - first[0]
        if seconds > 1.0 and sample[1] > first[1]:
            return _round((sample[1] - first[1]) / seconds), _round((sample[2] - first[2]) / seconds)
        # Seen for the first time: the mean since it started is the best there is.
        return self._mean(job, datetime.now(UTC))

    def _forget(self, now: float) -> None:
        """Drops jobs that nobody looked at lately: their clients may be gone, or have read results alone."""
        while self._samples:
            job_id, samples = next(iter(self._samples.items()))
            if len(self._samples) < _MOST_JOBS and now - samples[-1][0] < _KEPT_SECONDS:
                return
            del self._samples[job_id]

    def _final(self, job: Job) -> tuple[float | None, float | None]:
        with self._lock:
            self._samples.pop(job.id, None)
        return self._mean(job, job.finished_at)

    @staticmethod
    def _mean(job: Job, until: datetime | None) -> tuple[float | None, float | None]:
        documents = job.counts.computed - job.kept_documents
        if job.started_at is None or until is None or documents <= 0:
            return None, None
        seconds = max(0.001, (until - job.started_at).total_seconds())
        tokens = job.input_tokens + job.output_tokens - job.kept_tokens
        return _round(documents / seconds), _round(tokens / seconds)


def _round(value: float) -> float:
    return round(value, 3)
