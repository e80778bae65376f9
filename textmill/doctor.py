"""What is there, what is missing and what to do: the checks behind `textmill doctor`.

Every check works without a server and without loading torch.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import SecretStr

from jobs.errors import TextmillError
from jobs.redis_url import client_url
from jobs.settings import Settings
from textmill.findings import Check, Verdict, missing, note
from textmill.model_checks import check_models
from textmill.stack.broker import ping
from textmill.stack.devices import Machine, look_around
from textmill.stack.folder import is_held, running
from textmill.stack.server_binary import find_server
from textmill.storage import data_folder, database
from textmill.version import installed_version


def examine(settings: Settings) -> Iterator[Check]:
    """All checks that need no server, in the order of the report."""
    machine = look_around()
    checks: dict[str, Callable[[], Check]] = {
        "Python": _python,
        "torch": lambda: _torch(machine),
        "transformers": lambda: _package("transformers", "pip install 'textmill[worker]'"),
        "broker": lambda: _broker(settings),
        "database": lambda: database(settings),
        "data": lambda: data_folder(settings),
        "model cache": _hub,
        "flower": lambda: _package("flower", "pip install 'textmill[flower]'", is_needed=False),
        "settings": lambda: _settings(settings),
    }
    for name, check in checks.items():
        try:
            yield check()
        except (TextmillError, OSError) as error:  # a finding, not the end of the report
            yield missing(name, str(error))
    try:
        yield from check_models(settings, machine)
    except TextmillError as error:  # of textmill.toml or --model
        yield missing("models", str(error))


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


def running_here(settings: Settings) -> Check | None:
    """The stack on this data folder, if one runs."""
    folder = settings.data.absolute()
    stack = running(folder)
    if stack is None:
        return note("textmill up", f"one is starting or stopping on {folder}") if is_held(folder) else None
    text = f"pid {stack.pid} at {stack.url}" + (f", Flower at {stack.flower_url}" if stack.flower_url else "")
    return Check(name="textmill up", verdict=Verdict.OK, text=text)
