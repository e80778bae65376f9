"""What `textmill up` says while it works: plain lines, the same on a terminal and in a log."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from textmill.stack.readiness import ModelState
from textmill.stack.supervisor import Child

_REMIND_SECONDS = 10.0
_NAME_WIDTH = 12
_COLORS = ("cyan", "magenta", "blue", "yellow", "green")


class Report:
    """Writes to one console; chatter goes to stderr, the addresses to stdout."""

    def __init__(self, *, chatter: Console, answers: Console) -> None:
        self._chatter = chatter
        self._answers = answers
        self._waiting_since = 0.0
        self._last_reminder = 0.0
        self._last_missing = ""
        self._said_of_models: dict[str, str] = {}
        self._read: dict[Path, int] = {}
        self._colors: dict[str, str] = {}

    def heading(self, text: str) -> None:
        """The first line."""
        self._chatter.print(Text(text, style="bold"))

    def step(self, name: str, text: str, *, since: float) -> None:
        """Something is up; `since` is when it was begun (`time.monotonic`)."""
        line = Text.assemble("  ", (f"{name:<{_NAME_WIDTH}}", "green"), text)
        line.append(f"  {time.monotonic() - since:.1f} s", style="dim")
        self._chatter.print(line, soft_wrap=True)

    def event(self, name: str, text: str) -> None:
        """Something happened that the user should know."""
        self._chatter.print(Text.assemble("  ", (f"{name:<{_NAME_WIDTH}}", "yellow"), text), soft_wrap=True)

    def begin_waiting(self) -> None:
        """The programs are started; from here on they take their time."""
        self._waiting_since = self._last_reminder = time.monotonic()

    def waiting(self, missing: str) -> None:
        """Says now and then what is missing."""
        now = time.monotonic()
        if now - self._last_reminder >= _REMIND_SECONDS:
            self._last_reminder = now
            self.event("waiting", f"for {missing} ({now - self._waiting_since:.0f} s)")

    def models(self, models: Sequence[ModelState]) -> None:
        """How each model stands, if that was not said before."""
        for model in models:
            if self._said_of_models.get(model.name) == model.text:
                continue
            self._said_of_models[model.name] = model.text
            if model.is_served:
                name = (f"{'model':<{_NAME_WIDTH}}", "green")
                line = Text.assemble("  ", name, f"{model.name}  ", (model.text, "dim"))
            else:
                name = (f"{'model':<{_NAME_WIDTH}}", "bold red")
                line = Text.assemble("  ", name, f"{model.name} is not served: {model.text}")
            self._chatter.print(line, soft_wrap=True)

    def ready(self, url: str, *, flower_url: str | None, logs: Path) -> None:
        """The addresses."""
        self.step("ready", "worker, API" + (", Flower" if flower_url else ""), since=self._waiting_since)
        self._chatter.print()
        self._answers.print(f"  Console   {url}/", highlight=False, soft_wrap=True)
        self._answers.print(f"  API docs  {url}/docs", highlight=False, soft_wrap=True)
        if flower_url:
            self._answers.print(f"  Flower    {flower_url}/", highlight=False, soft_wrap=True)
        self._chatter.print()
        self._chatter.print(Text(f"  Logs in {logs}. Ctrl-C stops everything.", style="dim"), soft_wrap=True)

    def stopping(self) -> None:
        """The beginning of the end."""
        self._chatter.print("  stopping: API and Flower, workers, broker (Ctrl-C again kills them)")

    def stopped(self) -> None:
        """The end."""
        self._chatter.print("  stopped")

    def follow(self, children: Sequence[Child]) -> None:
        """Shows what the children wrote since the last call, each line with its child's name."""
        for child in children:
            name = child.program.name
            color = self._colors.setdefault(name, _COLORS[len(self._colors) % len(_COLORS)])
            for line in self._new_lines(child.log):
                self._chatter.print(Text.assemble((f"{name:<{_NAME_WIDTH}}| ", color), line), soft_wrap=True)

    def _new_lines(self, log: Path) -> list[str]:
        try:
            if log.stat().st_size < self._read.get(log, 0):
                self._read[log] = 0  # it was set aside and begins anew
            with log.open("rb") as file:
                file.seek(self._read.get(log, 0))
                text = file.read()
        except OSError:
            return []
        complete = text[: text.rfind(b"\n") + 1]  # a line half written comes with the next look
        self._read[log] = self._read.get(log, 0) + len(complete)
        return complete.decode("utf-8", errors="replace").splitlines()
