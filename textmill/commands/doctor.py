"""`textmill doctor`: what is set, found and missing."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from textmill.commands.options import JsonOption
from textmill.commands.server import Server, server_of

if TYPE_CHECKING:
    import httpx2

    from textmill.findings import Check


def doctor(context: typer.Context, json: JsonOption = False) -> None:
    """Say what is set, found and missing here, and what to do about it.

    Works without a server. Exit code 1 when something is missing.

    For example:

    textmill doctor
    """
    from jobs.settings import Settings
    from textmill.doctor import examine, running_here
    from textmill.findings import Verdict
    from textmill.terminal.consoles import answers

    settings = Settings.load()
    checks = list(examine(settings))
    if (here := running_here(settings)) is not None:
        checks.append(here)
    checks += _ask_server(server_of(context))
    if json:
        answers().print_json(data=[asdict(check) for check in checks])
    else:
        _print(checks)
    raise typer.Exit(int(any(check.verdict is Verdict.MISSING for check in checks)))


def _ask_server(server: Server) -> list[Check]:
    """What the server says of itself, its workers and models; one note when none runs."""
    import httpx2

    from textmill.findings import missing, note, ok
    from textmill.transport import is_loopback

    url = server.address()
    try:
        answer = httpx2.get(f"{url}/readyz", timeout=5.0, trust_env=not is_loopback(url))
    except (httpx2.TransportError, httpx2.InvalidURL):
        # Named on purpose and silent is a fault; nothing at the default address is just not started.
        silent = note if server.url is None else missing
        return [silent("server", f"none answers at {url}", "textmill up")]
    if answer.status_code == httpx2.codes.OK:
        return [ok("server", f"{url} is ready"), *_parts(answer)]
    remedy = "see the logs in the data folder"
    return [missing("server", f"{url} is not ready", remedy), *_parts(answer)]


def _parts(answer: httpx2.Response) -> list[Check]:
    """The readiness checks of the server and its models, each as a line of ours."""
    from textmill.findings import missing, ok
    from textmill.stack.readiness import checks_of, models_of

    checks = [(ok if is_ok else missing)(f"  {name}", text) for name, is_ok, text in checks_of(answer)]
    served = [
        (ok if model.is_served else missing)("  model", f"{model.name}: {model.text}")
        for model in models_of(answer)
    ]
    if not checks:  # no server of ours, or one that is very ill
        return [missing("  answer", f"{answer.status_code} {answer.text[:300]}")]
    return checks + served


def _print(checks: list[Check]) -> None:
    from rich.text import Text

    from textmill.terminal.consoles import answers

    marks = {"ok": ("ok     ", "green"), "note": ("note   ", "yellow"), "missing": ("MISSING", "bold red")}
    console = answers()
    for check in checks:
        line = Text.assemble(marks[check.verdict], f"  {check.name:<12} {check.text}")
        console.print(line, soft_wrap=True)
        if check.remedy:
            console.print(Text(f"{'':22} -> {check.remedy}", style="dim"), soft_wrap=True)
