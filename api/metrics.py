"""Prometheus metrics of this process and of the ledger."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from jobs.store.interface import Store
from jobs.webhooks.records import Answer

_WORKER_AGE_SECONDS = 60.0


class Metrics:
    """One registry per app, so that tests and apps do not share counters."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.submitted_jobs = Counter("textmill_jobs_submitted", "Jobs accepted", registry=self.registry)
        self.submitted_documents = Counter(
            "textmill_documents_submitted", "Documents accepted", registry=self.registry
        )
        self.rejected = Counter(
            "textmill_submissions_rejected", "Submissions refused", ["reason"], registry=self.registry
        )
        self.request_seconds = Histogram(
            "textmill_request_seconds",
            "Time to answer",
            ["method", "route", "status"],
            registry=self.registry,
        )
        self._webhooks = Counter(
            "textmill_webhook_tries", "Events sent to webhooks", ["outcome"], registry=self.registry
        )
        self._backlog = {
            name: Gauge(f"textmill_{name}", text, registry=self.registry)
            for name, text in {
                "waiting_slices": "Slices that wait for a worker",
                "leased_slices": "Slices held by workers",
                "open_documents": "Documents not settled yet",
                "oldest_waiting_seconds": "Age of the oldest job that nobody has claimed from",
            }.items()
        }
        self._workers = Gauge("textmill_workers", "Workers that gave a sign of life", registry=self.registry)
        self._loop_age = Gauge(
            "textmill_worker_loop_age_seconds",
            "Since the device loop came round",
            ["worker"],
            registry=self.registry,
        )

    def tried_webhook(self, answer: Answer) -> None:
        """Counts a try by how it went."""
        self._webhooks.labels("delivered" if answer.error is None else "failed").inc()

    def render(self, store: Store) -> bytes:
        """The text format, with the ledger's figures read now."""
        for name, value in store.backlog().items():
            self._backlog[name].set(value)
        workers = store.workers(max_age_seconds=_WORKER_AGE_SECONDS)
        self._workers.set(len(workers))
        self._loop_age.clear()
        for worker in workers:
            self._loop_age.labels(worker.worker_id).set(worker.loop_age_seconds + worker.age_seconds)
        return generate_latest(self.registry)
