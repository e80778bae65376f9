"""The life of the stack: start in order, watch, stop in reverse.

broker and migrations -> worker(s), API, Flower -> ready. The order matters up to the
migrations; after them nobody waits for anybody, and torch's long import overlaps the rest.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from jobs.redis_url import client_url
from jobs.settings import Settings
from textmill.errors import StackError
from textmill.stack import flower, ports
from textmill.stack.broker import EmbeddedBroker, ping
from textmill.stack.child import Process, spawn
from textmill.stack.devices import look_around, plan_workers
from textmill.stack.folder import DataFolder, RunningStack
from textmill.stack.plan import (
    StackOptions,
    api_program,
    migration_program,
    probe_key,
    shared_environment,
    who_may_enter,
    worker_program,
)
from textmill.stack.readiness import Readiness
from textmill.stack.report import Report
from textmill.stack.server_binary import find_server
from textmill.stack.supervisor import Child, Supervisor, describe_exit, tail

_TICK_SECONDS = 0.1
_BROKER_START_SECONDS = 30.0


class Stack:
    """Everything on one data folder. `run()` returns when it was told to stop."""

    def __init__(
        self,
        settings: Settings,
        options: StackOptions,
        *,
        report: Report,
        should_stop: Callable[[], bool],
        in_a_hurry: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._options = options
        self._report = report
        self._should_stop = should_stop
        self._in_a_hurry = in_a_hurry
        self._folder = DataFolder(settings.data)
        self._supervisor = Supervisor(self._folder.logs, say=report.event)
        self._edge: list[Child] = []
        self._workers: list[Child] = []
        self._broker: list[Child] = []
        self._migration_log = self._folder.logs / "migrate.log"
        self._port = 0
        self._flower_url: str | None = None

    @property
    def url(self) -> str:
        """Where the API answers."""
        host = self._settings.host
        shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
        return f"http://{shown}:{self._port}"

    def run(self) -> None:
        """Starts, watches and stops everything.

        Raises:
            StackError: it cannot start; the message says what to do.
        """
        self._port = ports.claim(self._settings.host, self._settings.port)
        self._folder.hold()
        try:
            self._start()
            self._wait_until_ready()
            while not self._should_stop():
                self._tick()
        finally:
            self._stop()
            self._folder.let_go()

    def _start(self) -> None:
        self._folder.announce(self._note(is_ready=False))
        started = time.monotonic()
        plans = plan_workers(look_around(), devices=self._options.devices, workers=self._options.workers)
        migration = self._begin_migration()
        try:
            broker_url = self._start_broker()
        finally:
            self._finish_migration(migration)
        environment = shared_environment(
            self._settings, folder=self._folder.path, broker_url=broker_url, port=self._port
        )
        self._report.step("database", f"{self._database_label()}, schema up to date", since=started)
        for plan in plans:
            program = worker_program(
                environment,
                plan,
                grace_seconds=self._settings.grace_seconds,
                passed=self._settings.pass_environment,
            )
            self._workers.append(self._supervisor.add(program))
        self._report.event("entry", who_may_enter(self._settings))
        api = api_program(environment, host=self._settings.host, port=self._port)
        self._edge.append(self._supervisor.add(api))
        self._start_flower(environment)

    # -- broker and database -------------------------------------------------------

    def _start_broker(self) -> str:
        if self._settings.redis_url is not None:
            return self._use_given_broker(self._settings.redis_url.get_secret_value())
        started = time.monotonic()
        server = find_server()
        broker = EmbeddedBroker(self._folder.path, server)
        if note := broker.prepare():
            self._report.event("broker", note)
        child = self._supervisor.add(broker.program())
        self._broker.append(child)
        while not broker.answers():
            if not child.is_running or time.monotonic() - started > _BROKER_START_SECONDS:
                raise StackError(f"the broker did not start ({server.path}):\n{tail(child.log)}")
            self._give_up_if_told()
            time.sleep(0.02)
        where = "a unix socket" if broker.address.socket else f"port {broker.address.port}"
        self._report.step("broker", f"{server.label} ({server.origin}) on {where}", since=started)
        return broker.address.celery_url

    def _use_given_broker(self, url: str) -> str:
        started = time.monotonic()
        try:
            info = ping(client_url(url))
        except Exception as error:
            raise StackError(f"TEXTMILL_REDIS_URL: the server refuses us: {error}") from error
        if info is None:
            raise StackError("TEXTMILL_REDIS_URL is set, but no server answers there; start it or unset it")
        name = "Valkey" if "valkey_version" in info else "Redis"
        version = info.get("valkey_version") or info.get("redis_version", "")
        self._report.step("broker", f"{name} {version} (TEXTMILL_REDIS_URL)", since=started)
        return url

    def _begin_migration(self) -> Process:
        environment = {
            "TEXTMILL_DATA": str(self._folder.path),
            "TEXTMILL_DATABASE_URL": self._settings.database,
        }
        return spawn(migration_program(environment), self._migration_log)

    def _finish_migration(self, migration: Process) -> None:
        # Not cut short by Ctrl-C: half a migration is not undone by every database.
        while (code := migration.poll()) is None:
            time.sleep(0.02)
        if code != 0:
            raise StackError(
                f"the database migration {describe_exit(code)}; its log says:\n{tail(self._migration_log)}"
            )
        self._give_up_if_told()

    def _database_label(self) -> str:
        url = self._settings.database
        scheme = url.partition(":")[0].partition("+")[0]
        return f"SQLite {url.removeprefix('sqlite:///')}" if scheme == "sqlite" else scheme

    # -- Flower, readiness, watching -----------------------------------------------

    def _start_flower(self, environment: dict[str, str]) -> None:
        if not self._options.with_flower:
            return
        if not flower.is_installed():
            self._report.event("flower", "not installed: pip install 'textmill[flower]'")
            return
        port = ports.free_near("127.0.0.1", flower.FIRST_PORT)
        program = flower.program(self._folder.path, port=port, environment=environment)
        self._edge.append(self._supervisor.add(program))
        self._flower_url = f"http://127.0.0.1:{port}"

    def _wait_until_ready(self) -> None:
        settings = self._settings
        port = settings.operations_port
        readiness = Readiness(
            self.url if port is None else f"{self.url.rpartition(':')[0]}:{port}",
            self._supervisor.children,
            flower_url=self._flower_url,
            has_workers=bool(self._workers),
            api_key=probe_key(settings),
        )
        self._report.begin_waiting()
        while not readiness.is_reached():
            self._give_up_if_told()
            self._tick()
            # While others still load, "not served" is no news; a load that failed is.
            self._report.models([model for model in readiness.models if model.has_failed])
            self._report.waiting(readiness.waiting_for())
        self._report.models(readiness.models)
        self._folder.announce(self._note(is_ready=True))
        self._report.ready(self.url, flower_url=self._flower_url, logs=self._folder.logs)

    def _tick(self) -> None:
        self._supervisor.tick()
        if self._options.is_verbose:
            self._report.follow(self._supervisor.children)
        time.sleep(_TICK_SECONDS)

    def _give_up_if_told(self) -> None:
        if self._should_stop():
            raise Stopped

    def _note(self, *, is_ready: bool) -> RunningStack:
        return RunningStack(pid=os.getpid(), url=self.url, flower_url=self._flower_url, is_ready=is_ready)

    def _stop(self) -> None:
        if self._supervisor.children:
            self._report.stopping()
        # The edge first, so that nothing new comes in; then the workers, which settle and
        # release what they hold; the broker last, since all the others talk to it.
        self._supervisor.stop([self._edge, self._workers, self._broker], hurry=self._in_a_hurry)
        if self._options.is_verbose:
            self._report.follow(self._supervisor.children)


class Stopped(Exception):
    """Told to stop before everything was up."""
