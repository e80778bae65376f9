"""Errors as the user sees them, and the exit codes they end in."""

from __future__ import annotations

import re

from rich.console import Console
from rich.text import Text

from jobs.errors import ConfigurationError, TextmillError, UnknownModel
from textmill.errors import (
    AmbiguousJob,
    NameTaken,
    NoSuchJob,
    NotAModel,
    RequestRefused,
    ServerUnreachable,
    UnreadableInput,
    UnwritableOutput,
)

DONE = 0
FAILED = 1  #: the job failed, or some of its documents did
WRONG_USAGE = 2
NO_SERVER = 3
INTERRUPTED = 130

_USAGE = (
    UnreadableInput, UnwritableOutput, ConfigurationError, UnknownModel, NameTaken, NotAModel, NoSuchJob,
    AmbiguousJob,
)  # fmt: skip
_MOST_ROWS = 20


def exit_code_of(error: TextmillError) -> int:
    """As `interface.md` promises: 2 for what the user can mend, 3 for no (working) server."""
    if isinstance(error, RequestRefused):
        return NO_SERVER if error.status >= 500 or error.status == 429 else WRONG_USAGE
    if isinstance(error, ServerUnreachable):
        return NO_SERVER
    if isinstance(error, _USAGE):
        return WRONG_USAGE
    return FAILED


def explain(error: TextmillError, console: Console) -> None:
    """Prints what is wrong, and what to do about it where that is known."""
    console.print(Text.assemble(("error: ", "bold red"), str(error)), soft_wrap=True)
    if isinstance(error, RequestRefused):
        _explain_rows(error, console)
    if hint := _hint(error):
        console.print(Text(hint, style="dim"), soft_wrap=True)


def _explain_rows(error: RequestRefused, console: Console) -> None:
    # What belongs to no line is the request as a whole, and the message above says it.
    rows = [row for row in error.rows if row.line is not None or row.message not in str(error)]
    for row in rows[:_MOST_ROWS]:
        parts = [Text(row.message)]
        if row.field:
            parts.insert(0, Text(row.field, style="yellow"))
        if row.line is not None:
            parts.insert(0, Text(f"line {row.line}", style="bold"))
        console.print(Text("  ").append(Text("  ").join(parts)), soft_wrap=True)
    if len(rows) > _MOST_ROWS:
        console.print(f"  ... and {len(rows) - _MOST_ROWS} more that the server named")


def _flags(message: str) -> str:
    """The flags for the request's parameters that a message speaks of."""
    named = re.findall(r"\b(delimiter|encoding)=(\w+)", message)
    flags = [f"--{name} {value}" for name, value in named]
    roles = dict.fromkeys(re.findall(r"\b(text|id|context|model|task|params)_column\b", message))
    flags += [f"--{r}-column NAME" if r in ("text", "id", "context") else f"--column {r}=NAME" for r in roles]
    return " or ".join(flags)


def _hint(error: TextmillError) -> str:
    if isinstance(error, ServerUnreachable):
        return "Is it running? `textmill up` starts one here; TEXTMILL_URL or --url names another."
    if isinstance(error, RequestRefused):
        if flags := _flags(" ".join([str(error), *(row.message for row in error.rows[:1])])):
            return f"On the command line: {flags}"
        if error.status == 401:
            return "`textmill login URL`, or set TEXTMILL_URL and TEXTMILL_API_KEY to server and key."
        if error.problem_code.endswith("unknown_model"):
            return "`textmill models` lists what this server serves."
        if error.status == 404:
            return "`textmill jobs` lists your jobs."
    return ""
