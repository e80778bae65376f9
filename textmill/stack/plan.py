"""What `textmill up` was asked for, and the programs that follow from it."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from jobs.settings import Settings
from textmill.stack.child import Program, python
from textmill.stack.devices import WorkerPlan
from textmill.stack.environment import Needs

_KILL_AFTER_GRACE_SECONDS = 5.0
_API_STOP_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class StackOptions:
    """The flags of `textmill up`."""

    devices: tuple[str, ...] = ("auto",)
    workers: int | None = None  #: None: one per GPU, else one per CPU socket
    with_flower: bool = True
    is_verbose: bool = False  #: show the children's output


def shared_environment(settings: Settings, *, folder: Path, broker_url: str, port: int) -> dict[str, str]:
    """What every child must agree on, whether it came from a flag, a file or a default."""
    environment = {
        "TEXTMILL_DATA": str(folder),
        "TEXTMILL_REDIS_URL": broker_url,
        "TEXTMILL_DATABASE_URL": settings.database,
        "TEXTMILL_KEY_PREFIX": settings.key_prefix,
        "TEXTMILL_CONFIG": str(settings.config.absolute()),
        "TEXTMILL_DTYPE": settings.dtype,
        "TEXTMILL_HOST": settings.host,
        "TEXTMILL_PORT": str(port),
    }
    if settings.models:
        environment["TEXTMILL_MODELS"] = " ".join(settings.models)
    return environment


def who_may_enter(settings: Settings) -> str:
    """What whoever starts the stack should know about its door, in words."""
    if not settings.has_keys:
        return "no keys: open to everybody on this host"
    given = len(settings.api_keys) + (settings.admin_key is not None)
    return f"keys are asked for: {given} of the settings, and those made by `textmill keys`"


def probe_key(settings: Settings) -> str | None:
    """The key to ask `/readyz` with, which tells the reasons to callers with one; None: it asks for none."""
    given = [*([] if settings.admin_key is None else [settings.admin_key]), *settings.api_keys]
    return given[0].get_secret_value() if given else None


def migration_program(environment: Mapping[str, str]) -> Program:
    """Brings the database to the schema of this version."""
    return Program(
        name="migrate",
        command=python("jobs.migrate"),
        environment=environment,
        needs=Needs.SETTINGS | Needs.DATABASE,
        orphan_signal=signal.SIGTERM,  # it may be in the middle of a transaction
    )


def api_program(environment: Mapping[str, str], *, host: str, port: int) -> Program:
    """The HTTP edge."""
    return Program(
        name="api",
        command=python("api", "--host", host, "--port", str(port)),
        environment=environment,
        needs=Needs.SETTINGS | Needs.KEYS | Needs.DATABASE | Needs.BROKER,
        grace_seconds=_API_STOP_SECONDS,
    )


def worker_program(
    environment: Mapping[str, str], plan: WorkerPlan, *, grace_seconds: float, passed: tuple[str, ...] = ()
) -> Program:
    """One worker on one device; `passed` are names of further variables that it gets."""
    own = {"TEXTMILL_DEVICE": plan.device}
    if plan.threads:
        own["TEXTMILL_THREADS"] = str(plan.threads)
    return Program(
        name=f"worker-{plan.name}",
        command=python("workers", "--device", plan.device, "--name", plan.name),
        environment={**environment, **own},
        needs=Needs.SETTINGS | Needs.DATABASE | Needs.BROKER | Needs.MODELS,
        passed=passed,
        grace_seconds=grace_seconds + _KILL_AFTER_GRACE_SECONDS,
    )
