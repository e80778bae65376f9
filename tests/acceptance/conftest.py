"""The real command line on the real stack: embedded broker, SQLite, bundled models."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.chat_model import make_chat_model
from tests.support.waiting import PATIENCE_SECONDS
from textmill.stack.background import BackgroundStack
from textmill.stack.child import child_environment, python

#: short enough that a killed worker's slices come back while a test waits
FAST_RECOVERY = {"TEXTMILL_LEASE_SECONDS": "4", "TEXTMILL_SWEEP_SECONDS": "1", "HF_HUB_OFFLINE": "1"}

CHAT_MODEL = "gpt-3.5-turbo-0125"  #: as OpenAI's examples name it: a folder of that name is one
GUARDED_KEY = "key-of-somebody-who-has-one"


@dataclass(frozen=True)
class Cli:
    """The command `textmill`, as a user's shell runs it."""

    url: str
    folder: Path

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Begins a command."""
        environment = {**child_environment({}), "TEXTMILL_URL": self.url, "COLUMNS": "200"}
        return subprocess.Popen(
            python("textmill", *arguments),
            env=environment,
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            # A suite that a shell started in the background ignores Ctrl-C, and so would its children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )

    def __call__(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        """Runs a command to its end."""
        with self.start(*arguments) as process:
            try:
                out, err = process.communicate(stdin, timeout=4 * PATIENCE_SECONDS)
            except BaseException:
                process.kill()
                raise
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)


@pytest.fixture(scope="package", autouse=True)
def _own_settings() -> Iterator[None]:
    """What the developer's shell has set is not under test."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("TEXTMILL_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackgroundStack]:
    """One `textmill up` for all tests that do not break it."""
    environment = {**FAST_RECOVERY, "TEXTMILL_WEBHOOK_ALLOW": "127.0.0.1"}
    with running_stack(tmp_path_factory.mktemp("up"), environment=environment) as running:
        yield running


def only(*tasks: str) -> list[str]:
    """Flags of `textmill up` for which the bundled models of other tasks are not loaded."""
    others = {"generation", "translation", "sentiment", "qa"} - set(tasks)
    return [f"--model={task}=noop:{task}" for task in sorted(others)]


@contextmanager
def running_stack(
    folder: Path, *, environment: Mapping[str, str], flags: Sequence[str] = ()
) -> Iterator[BackgroundStack]:
    """`textmill up` with one worker on the CPU; when a test fails to start or use it, its log is shown."""
    with (folder / "up.log").open("wb") as log:
        flags = ("--device", "cpu", "--workers", "1", *flags)
        running = BackgroundStack(folder / "data", flags=flags, environment=environment, output=log)
        try:
            with running:
                yield running
        except BaseException:
            sys.stderr.write((folder / "up.log").read_text(errors="replace"))
            raise


@pytest.fixture(scope="session")
def chat_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with a chat template, in a folder named as the example's model."""
    return make_chat_model(tmp_path_factory.mktemp("models"), CHAT_MODEL)


@pytest.fixture(scope="session")
def guarded(chat_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BackgroundStack]:
    """`textmill up` with keys, and that model."""
    flags = ("--model", f"generation={chat_folder}", "--dtype", "float32")
    with running_stack(
        tmp_path_factory.mktemp("guarded"),
        environment={**FAST_RECOVERY, "TEXTMILL_API_KEYS": GUARDED_KEY},
        flags=flags,
    ) as running:
        yield running


@pytest.fixture
def textmill(stack: BackgroundStack, tmp_path: Path) -> Cli:
    return Cli(stack.url, tmp_path)
