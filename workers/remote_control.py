"""What others on the broker may ask of a worker: to be looked at, never to be led.

Celery lets whoever reaches Redis shut workers down, take their queues away or slow
them to one slice an hour, and nobody would be told. Flower needs the questions alone.
"""

from __future__ import annotations

from celery.worker.control import Panel

#: What Flower and `celery inspect` ask, and the greeting of workers among themselves.
_ALLOWED = frozenset({
    "active", "active_queues", "clock", "conf", "enable_events", "heartbeat", "hello", "ping", "query_task",
    "registered", "reserved", "revoked", "scheduled", "stats",
})  # fmt: skip


def allow_inspection_only() -> None:
    """Takes every other command out of this process; one that comes all the same is logged and dropped."""
    for name in Panel.data.keys() - _ALLOWED:
        del Panel.data[name]
        Panel.meta.pop(name, None)
