"""Celery's settings, each with its reason; one source for producers and workers.

Redis only carries: everything that must not be lost is in SQL. So the settings aim
at quick recovery from a broken link and at never running anything but our slices.
"""

from __future__ import annotations

from typing import Any

from celery import Celery
from kombu.entity import Exchange, Queue

from jobs.catalogue import Catalogue
from jobs.records import Priority, Task
from jobs.settings import Settings

#: One Celery task per kind of work, so that Flower tells them apart.
TASK_NAMES = {
    Task.GENERATION: "textmill.generate",
    Task.TRANSLATION: "textmill.translate",
    Task.SENTIMENT: "textmill.sentiment",
    Task.QA: "textmill.answer",
}
_LINK_SECONDS = 5  # above the 1 s of BRPOP, below what a person would call hung


def make_celery(settings: Settings, catalogue: Catalogue) -> Celery:
    """A Celery app with our settings. Connects to nothing yet."""
    app = Celery("textmill", broker=settings.broker, set_as_current=False)
    app.conf.update(celery_settings(settings, catalogue))
    return app


def num_threads(slots: int) -> int:
    """Threads of a worker: more than the slices it is sent, since some wait in vain.

    A slice of a cancelled job hears of it with the next heartbeat, and an owner with nothing
    under way is sent a slice whatever is taken (`jobs/shares`): neither makes anybody wait.
    """
    return max(4, 2 * slots)


def celery_settings(settings: Settings, catalogue: Catalogue) -> dict[str, Any]:
    """What both sides of the broker agree on."""
    return {
        # Results are rows of ours; a Celery backend would be a second truth (and its SQL
        # flavour unpickles what it reads).
        "result_backend": None,
        "task_ignore_result": True,
        # Never unpickle anything that came out of Redis.
        "accept_content": ["json"],
        "task_serializer": "json",
        # A message is confirmed after its slice, so an orderly stop hands it back at once.
        "task_acks_late": True,
        # One message per free thread: the rest waits where every worker can reach it.
        "worker_prefetch_multiplier": 1,
        # These two re-send what killed its worker, for ever; crashes are counted in SQL.
        "task_reject_on_worker_lost": False,
        "task_retry_on_worker_lost": False,
        # The default gives up for good after 100 tries.
        "broker_connection_max_retries": None,
        "broker_connection_retry_on_startup": True,
        # A submit must not wait for a dead Redis; the sweep sends later.
        "task_publish_retry": False,
        # Flower lives on events.
        "worker_send_task_events": True,
        "task_send_sent_event": True,
        "task_track_started": True,
        "task_queues": [Queue(e.queue, Exchange(e.queue), routing_key=e.queue) for e in catalogue.entries],
        "task_create_missing_queues": True,
        "broker_transport_options": _transport_options(settings),
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
    }


def _transport_options(settings: Settings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "global_keyprefix": settings.key_prefix,
        # Without these a half-open link wedged a worker for over two minutes (measured).
        "socket_timeout": _LINK_SECONDS,
        "health_check_interval": _LINK_SECONDS,
        # Look for unconfirmed messages at every interval, not at every tenth.
        "unacked_restore_throttle": 1,
        # 0 is taken first; a job's priority is one of these steps. Of one priority the models take
        # turns ("priority" would serve them in the order of the catalogue, the first before all).
        "priority_steps": [int(p) for p in Priority],
        "queue_order_strategy": "round_robin",
        # Fail a publish quickly instead of retrying inside the transport.
        "max_retries": 1,
        "interval_start": 0,
        "interval_max": 0.2,
    }
    if not settings.broker.startswith("redis+socket"):  # kombu cannot pass these to a unix socket
        options |= {"socket_connect_timeout": _LINK_SECONDS, "socket_keepalive": True}
    return options
