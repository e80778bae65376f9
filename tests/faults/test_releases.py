"""Two releases side by side, as in a rolling restart: nothing is lost, and who cannot work says why."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

from jobs.broker import TASK_NAMES
from jobs.records import Task
from jobs.store.migrate import head_revision
from tests.faults.conftest import Profile
from tests.faults.test_broker import running, sender
from tests.faults.test_workers import finished, submit
from tests.support.audit import audit
from tests.support.cluster import Cluster
from tests.support.leases import LeaseBook
from tests.support.waiting import wait_until

MakeCluster = Callable[..., Cluster]
LATER = "9999"


def test_workers_of_the_release_before_finish_what_runs_while_a_newer_schema_is_there(
    cluster: MakeCluster, profile: Profile
) -> None:
    """Those that run go on; one that is started then says that the database is newer, and takes nothing."""
    c = cluster(workers=2, TEXTMILL_FAULT_PACE_SECONDS="0.01")
    rounds = profile.pick(1, 5)
    for _ in range(rounds):
        job = submit(c, profile.pick(600, 3000))
        running(job)
        migrate_as_a_later_release(c)
        c.kill("w0")
        c.start_worker("w0")
        wait_until(lambda: c.has_ended("w0"), what="w0 refuses to start")
        assert c.processes["w0"].returncode == 1
        assert f"schema {LATER}, which a newer release made" in (c.folder / "w0.log").read_text()
        assert not c.is_ready(), "an API of the release before takes itself out"
        wait_until(
            lambda job=job: job.status().is_final, timeout_seconds=600, what="w1 finishes the job alone"  # type: ignore[misc]
        )  # fmt: skip
        set_schema(c, str(head_revision()))
        c.mend()
        c.wait_ready()
    finished(submit(c, 100), c)
    profile.note(rounds=rounds)
    profile.settle(audit(c.database_url))


def migrate_as_a_later_release(c: Cluster) -> None:
    """What a migration of tomorrow may do: columns and tables are added, under a number of its own."""
    with closing(sqlite3.connect(c.folder / "textmill.db", timeout=30)) as ledger:
        if ledger.execute("SELECT count(*) FROM pragma_table_info('slice') WHERE name = 'later'").fetchone()[
            0
        ]:
            ledger.execute("ALTER TABLE slice DROP COLUMN later")
            ledger.execute("DROP TABLE of_later")
        ledger.execute("ALTER TABLE slice ADD COLUMN later TEXT NOT NULL DEFAULT 'unset'")
        ledger.execute("CREATE TABLE of_later (name TEXT PRIMARY KEY)")
        ledger.commit()
    set_schema(c, LATER)


def set_schema(c: Cluster, revision: str) -> None:
    with closing(sqlite3.connect(c.folder / "textmill.db", timeout=30)) as ledger:
        ledger.execute("UPDATE alembic_version SET version_num = ?", [revision])
        ledger.commit()


def test_messages_of_the_release_before_and_of_a_later_one_are_understood(
    cluster: MakeCluster, profile: Profile
) -> None:
    """A field that was not known in a message ended its task, and its slice waited to be sent again."""
    # Nothing is sent again: only the messages made here can have the slices run.
    c = cluster(workers=1, TEXTMILL_RESEND_SECONDS="3600")
    c.kill("w0")
    job = submit(c, profile.pick(1200, 12_000))
    with closing(sqlite3.connect(c.folder / "textmill.db", timeout=30)) as ledger:
        ledger.execute("UPDATE slice SET sent_at = unixepoch() WHERE state = 'waiting'")
        ledger.commit()
    with LeaseBook(c.database_url) as leases:
        numbers = [slice_.number for slice_ in leases.of_the_newest_job()]
    c.redis().flushall()
    celery = sender(c)
    for number in numbers:
        ours = {"args": [f"{job.id}.{number}"], "queue": "model.noop-s-e00b82", "ignore_result": True}
        if number % 3 == 0:  # as 0.1.0 sent it
            celery.send_task(TASK_NAMES[Task.SENTIMENT], **ours, argsrepr="64 documents", kwargsrepr="{}")
        else:
            celery.send_task(
                TASK_NAMES[Task.SENTIMENT], **ours, kwargs={"trace": "00-4bf9", "deadline": None},
                headers={"later": {"nested": True}},
            )  # fmt: skip
        if number % 5 == 0:  # work of a kind that this release does not know
            celery.send_task("textmill.embed", **ours)
    c.start_worker("w0")
    finished(job, c)
    profile.note(slices=len(numbers))
    profile.settle(audit(c.database_url))
