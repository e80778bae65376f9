"""What is there, what is missing and what to do: the checks behind `textmill doctor`.

Every check works without a server and without loading torch.
"""

from __future__ import annotations

import importlib.util
import platform
import shutil
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from jobs.catalogue import Catalogue, ModelEntry
from jobs.errors import TextmillError
from jobs.settings import Settings
from textmill.stack.broker import client_url, ping
from textmill.stack.devices import Machine, look_around
from textmill.stack.folder import running
from textmill.stack.server_binary import find_server
from textmill.version import installed_version

_LITTLE_SPACE_BYTES = 2 << 30


class Verdict(StrEnum):
    """How a check came out."""

    OK = "ok"
    NOTE = "note"  #: fine, but worth knowing
    MISSING = "missing"  #: something will not work


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the report."""

    name: str
    verdict: Verdict
    text: str
    remedy: str = ""


def examine(settings: Settings) -> Iterator[Check]:
    """All checks that need no server, in the order of the report."""
    machine = look_around()
    checks: dict[str, Callable[[], Check]] = {
        "Python": _python,
        "torch": lambda: _torch(machine),
        "transformers": lambda: _package("transformers", "pip install 'textmill[worker]'"),
        "broker": lambda: _broker(settings),
        "database": lambda: _database(settings),
        "data": lambda: _data_folder(settings),
        "model cache": _hub,
        "flower": lambda: _package("flower", "pip install 'textmill[flower]'", is_needed=False),
        "settings": lambda: _settings(settings),
    }
    for name, check in checks.items():
        try:
            yield check()
        except (TextmillError, OSError) as error:  # a finding, not the end of the report
            yield Check(name=name, verdict=Verdict.MISSING, text=str(error))
    yield from _models(settings)


def _python() -> Check:
    text = f"{platform.python_version()} at {sys.executable}, Textmill {installed_version()}"
    return Check(name="Python", verdict=Verdict.OK, text=text)


def _torch(machine: Machine) -> Check:
    check = _package("torch", "pip install 'textmill[worker]'")
    if check.verdict is Verdict.MISSING:
        return check
    if machine.num_gpus == 0:
        return Check(name="torch", verdict=Verdict.OK, text=f"{check.text}, no GPU: workers run on the CPU")
    # Only a process of its own: CUDA, once touched, stays in memory.
    probe = "import torch; print(torch.cuda.device_count())"
    run = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    seen = run.stdout.strip()
    if seen == str(machine.num_gpus):
        return Check(name="torch", verdict=Verdict.OK, text=f"{check.text}, {seen} GPU(s)")
    return Check(
        name="torch",
        verdict=Verdict.MISSING,
        text=f"{check.text} sees {seen or 'none'} of {machine.num_gpus} GPU(s)",
        remedy="install a torch build for your CUDA driver",
    )


def _package(name: str, remedy: str, *, is_needed: bool = True) -> Check:
    try:
        return Check(name=name, verdict=Verdict.OK, text=version(name))
    except PackageNotFoundError:
        verdict = Verdict.MISSING if is_needed else Verdict.NOTE
        return Check(name=name, verdict=verdict, text="not installed", remedy=remedy)


def _broker(settings: Settings) -> Check:
    if settings.redis_url is None:
        server = find_server()
        return Check(
            name="broker",
            verdict=Verdict.OK,
            text=f"`textmill up` will start {server.label} ({server.origin}: {server.path})",
        )
    url = settings.redis_url.get_secret_value()
    try:
        info = ping(client_url(url))
    except Exception as error:  # whatever the library makes of a wrong URL or password
        return Check(name="broker", verdict=Verdict.MISSING, text=f"TEXTMILL_REDIS_URL: {error}")
    if info is None:
        return Check(
            name="broker",
            verdict=Verdict.MISSING,
            text="nothing answers at TEXTMILL_REDIS_URL",
            remedy="start that server, or unset the variable and let `textmill up` start one",
        )
    label = (
        f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {info['redis_version']}"
    )
    return Check(name="broker", verdict=Verdict.OK, text=f"{label} answers at TEXTMILL_REDIS_URL")


def _database(settings: Settings) -> Check:
    parts = urlsplit(settings.database)
    if parts.scheme.startswith("sqlite"):
        return _sqlite(Path(settings.database.partition(":///")[2]))
    place = f"{parts.hostname}:{parts.port or 5432}"
    try:
        socket.create_connection((parts.hostname or "localhost", parts.port or 5432), timeout=3).close()
    except OSError as error:
        return Check(
            name="database",
            verdict=Verdict.MISSING,
            text=f"{parts.scheme} at {place}: {error.strerror or error}",
            remedy="start it, or correct TEXTMILL_DATABASE_URL",
        )
    if "psycopg" in parts.scheme and importlib.util.find_spec("psycopg") is None:
        return Check(
            name="database",
            verdict=Verdict.MISSING,
            text="TEXTMILL_DATABASE_URL names PostgreSQL, but its driver is not installed",
            remedy="pip install 'textmill[postgres]'",
        )
    return Check(name="database", verdict=Verdict.OK, text=f"{parts.scheme} listens at {place}")


def _sqlite(path: Path) -> Check:
    if not path.exists():
        text = f"SQLite; {path} is made by the first `textmill up`"
        return Check(name="database", verdict=Verdict.OK, text=text)
    try:
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5) as connection:
            (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except (sqlite3.Error, TypeError) as error:
        return Check(
            name="database",
            verdict=Verdict.MISSING,
            text=f"SQLite {path}: {error}",
            remedy="python -m jobs.migrate brings it up to date; a damaged file must be replaced",
        )
    megabytes = path.stat().st_size / 1e6
    text = f"SQLite {path}, {megabytes:.1f} MB, schema {revision}"
    return Check(name="database", verdict=Verdict.OK, text=text)


def _data_folder(settings: Settings) -> Check:
    folder = settings.data.absolute()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free_bytes = shutil.disk_usage(there).free
    text = f"{folder}, {free_bytes / 1e9:.0f} GB free"
    if free_bytes < _LITTLE_SPACE_BYTES:
        return Check(
            name="data",
            verdict=Verdict.NOTE,
            text=text,
            remedy="make room, or name another folder: TEXTMILL_DATA",
        )
    return Check(name="data", verdict=Verdict.OK, text=text)


def _hub() -> Check:
    try:
        from huggingface_hub import constants
    except ImportError:
        return Check(name="model cache", verdict=Verdict.NOTE, text="huggingface_hub is not installed")
    cache = Path(constants.HF_HUB_CACHE)
    num_cached = len(list(cache.glob("models--*"))) if cache.exists() else 0
    state = "offline (HF_HUB_OFFLINE)" if constants.HF_HUB_OFFLINE else "online"
    return Check(name="model cache", verdict=Verdict.OK, text=f"{cache}, {num_cached} model(s), {state}")


def _settings(settings: Settings) -> Check:
    names = sorted(settings.model_fields_set)
    shown = ", ".join(f"TEXTMILL_{name.upper()}={_shown(getattr(settings, name))}" for name in names)
    return Check(name="settings", verdict=Verdict.OK, text=shown or "all at their defaults")


def _shown(value: object) -> str:
    if isinstance(value, SecretStr):
        return "(set)"
    if isinstance(value, tuple):
        return "(set)" if any(isinstance(item, SecretStr) for item in value) else " ".join(map(str, value))
    return str(value)


def _models(settings: Settings) -> Iterator[Check]:
    for entry in Catalogue.load(settings).entries:
        problem = _model_problem(entry)
        name = f"{entry.name} for {entry.task} ({entry.ref})"
        if problem is None:
            yield Check(name="model", verdict=Verdict.OK, text=name)
        else:
            yield Check(name="model", verdict=Verdict.MISSING, text=f"{name}: {problem}")


def _model_problem(entry: ModelEntry) -> str | None:
    """None as far as can be told without loading it."""
    if entry.ref.startswith("bundled:"):
        spec = importlib.util.find_spec("models")
        roots = spec.submodule_search_locations if spec is not None else None
        folders = [Path(root) / "bundled" / entry.ref.removeprefix("bundled:") for root in roots or []]
        return None if any(folder.is_dir() for folder in folders) else "it is not part of this installation"
    path = Path(entry.ref)
    if (path.is_absolute() or entry.ref.startswith(".")) and not path.is_dir():
        return "no such folder"
    return None


def running_here(settings: Settings) -> Check | None:
    """The stack on this data folder, if one runs."""
    stack = running(settings.data.absolute())
    if stack is None:
        return None
    text = f"pid {stack.pid} at {stack.url}" + (f", Flower at {stack.flower_url}" if stack.flower_url else "")
    return Check(name="textmill up", verdict=Verdict.OK, text=text)
