"""What Celery is told: each setting is one that it knows, and keeps Redis a mere carrier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from celery.app.defaults import NAMESPACES, flatten

from jobs.broker import TASK_NAMES, celery_settings, make_celery, num_threads
from jobs.catalogue import Catalogue, ModelEntry
from jobs.records import Priority, Task
from jobs.settings import Settings

CATALOGUE = Catalogue(
    entries=(
        ModelEntry(name="m", task=Task.SENTIMENT, ref="noop:"),
        ModelEntry(name="n", task=Task.QA, ref="noop:"),
    )
)


def told(tmp_path: Path, **settings: Any) -> dict[str, Any]:
    return celery_settings(Settings(data=tmp_path, **settings), CATALOGUE)


def test_celery_knows_every_setting(tmp_path: Path) -> None:
    """A name with a slip of the pen is ignored without a word, and its default holds."""
    assert told(tmp_path).keys() <= {name for name, _ in flatten(NAMESPACES)}


def test_what_is_lost_in_redis_or_by_a_worker_is_mended_by_the_ledger_and_by_nobody_else(
    tmp_path: Path,
) -> None:
    expected = {
        "result_backend": None,
        "task_ignore_result": True,
        "accept_content": ["json"],
        "task_serializer": "json",
        "task_acks_late": True,
        "worker_prefetch_multiplier": 1,
        "task_reject_on_worker_lost": False,
        "task_publish_retry": False,
        "broker_connection_max_retries": None,
        "broker_connection_retry_on_startup": True,
    }
    assert {name: value for name, value in told(tmp_path).items() if name in expected} == expected


def test_flower_sees_what_is_sent_taken_and_done(tmp_path: Path) -> None:
    settings = told(tmp_path)
    for name in ("worker_send_task_events", "task_send_sent_event", "task_track_started"):
        assert settings[name] is True


def test_our_log_stays_ours(tmp_path: Path) -> None:
    settings = told(tmp_path)
    assert settings["worker_hijack_root_logger"] is settings["worker_redirect_stdouts"] is False


def test_every_model_has_a_queue_and_one_of_tomorrow_gets_one(tmp_path: Path) -> None:
    settings = told(tmp_path)
    queues = [(queue.name, queue.exchange.name, queue.routing_key) for queue in settings["task_queues"]]
    assert queues == [("model.m",) * 3, ("model.n",) * 3]
    assert settings["task_create_missing_queues"] is True


@pytest.mark.parametrize(
    ("broker", "knows_connecting"),
    [("redis://127.0.0.1:1/0", True), ("redis+socket:///tmp/broker.sock", False)],
)
def test_a_link_that_says_nothing_is_given_up_within_seconds(
    tmp_path: Path, broker: str, knows_connecting: bool
) -> None:
    """A half-open link wedged a worker for two minutes; a publish must not wait for it either."""
    options = told(tmp_path, redis_url=broker, key_prefix="mine.")["broker_transport_options"]
    connecting = {"socket_connect_timeout": 5, "socket_keepalive": True} if knows_connecting else {}
    assert options == {
        "global_keyprefix": "mine.",
        "socket_timeout": 5,
        "health_check_interval": 5,
        "unacked_restore_throttle": 1,
        "priority_steps": sorted(int(priority) for priority in Priority),
        "queue_order_strategy": "round_robin",
        "max_retries": 1,
        "interval_start": 0,
        "interval_max": 0.2,
        **connecting,
    }


def test_the_app_has_our_settings_and_is_nobody_elses_default(tmp_path: Path) -> None:
    from celery import current_app

    app = make_celery(Settings(data=tmp_path, redis_url="redis://127.0.0.1:1/3"), CATALOGUE)
    assert (app.main, app.conf.broker_url, app.conf.task_acks_late) == (
        "textmill",
        "redis://127.0.0.1:1/3",
        True,
    )
    assert current_app._get_current_object() is not app


@pytest.mark.parametrize(("slots", "threads"), [(1, 4), (2, 4), (3, 6), (8, 16)])
def test_a_worker_has_twice_as_many_threads_as_slots_and_four_at_least(slots: int, threads: int) -> None:
    assert num_threads(slots) == threads


def test_every_kind_of_work_has_a_name_of_its_own() -> None:
    assert len(set(TASK_NAMES.values())) == len(Task)
