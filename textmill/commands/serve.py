"""`textmill up`, `worker` and `api`: the commands that run servers here."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:  # imported when a command runs, so that --help is instant
    from jobs.settings import Settings
    from textmill.stack.plan import StackOptions

_ModelFlag = Annotated[
    list[str] | None,
    typer.Option("--model", metavar="TASK=REF[@REVISION]", help="Serve this model; repeatable."),
]
_Dtype = Annotated[
    str | None,
    typer.Option("--dtype", help="auto, float32, bfloat16, float16 or int8 (auto: the fastest that fits)."),
]
_Data = Annotated[
    Path | None, typer.Option("--data", help="Folder for database, broker and logs (default .textmill).")
]


def up(
    host: Annotated[str | None, typer.Option(help="Address of the API (default 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the API (default 8000; 0: any free one).")] = None,
    workers: Annotated[
        str, typer.Option(metavar="auto|N", help="Workers; auto: one per GPU, else one per CPU socket.")
    ] = "auto",
    device: Annotated[
        str, typer.Option(metavar="auto|cpu|cuda:0,...", help="Devices, separated by commas.")
    ] = "auto",
    model: _ModelFlag = None,
    dtype: _Dtype = None,
    data: _Data = None,
    no_flower: Annotated[bool, typer.Option("--no-flower", help="Do not start Flower.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what all processes write.")] = False,
) -> None:
    """Start everything here: broker, database, workers, API, Flower. Ctrl-C stops it.

    Needs no Redis and no database server: it uses what is installed, or its own.

    For example:

    textmill up
    textmill up --port 0 --data /srv/textmill --workers 2 --device cpu
    textmill up --model generation=gpt2 --model translation=Helsinki-NLP/opus-mt-en-de
    """
    from jobs.settings import Settings
    from textmill.stack.plan import StackOptions

    settings = Settings.load(
        host=host, port=port, data=data, dtype=dtype, models=tuple(model) if model else None
    )
    options = StackOptions(
        devices=tuple(part.strip() for part in device.split(",") if part.strip()),
        workers=_parse_workers(workers),
        with_flower=not no_flower,
        is_verbose=verbose,
    )
    _run_stack(settings, options)


def worker(
    device: Annotated[str | None, typer.Option(help="cpu, cuda:N or auto.")] = None,
    name: Annotated[str | None, typer.Option(help="Node name; default: from the device.")] = None,
    models: Annotated[
        str | None, typer.Option(help="Serve only these models, by name, separated by commas.")
    ] = None,
    queues: Annotated[
        str | None, typer.Option(help="Take from these queues only, separated by commas.")
    ] = None,
    model: _ModelFlag = None,
    dtype: _Dtype = None,
    data: _Data = None,
) -> None:
    """Run one worker on one device, in the foreground.

    It needs TEXTMILL_REDIS_URL and TEXTMILL_DATABASE_URL of a running server, or its --data folder.

    For example:

    textmill worker --device cuda:0 --models textmill-generation
    """
    flags = {"--device": device, "--name": name, "--models": models, "--queues": queues}
    _become("workers", flags, model=model, dtype=dtype, data=data)


def api(
    host: Annotated[str | None, typer.Option(help="Address (default 127.0.0.1).")] = None,
    port: Annotated[int | None, typer.Option(help="Port (default 8000).")] = None,
    model: _ModelFlag = None,
    data: _Data = None,
) -> None:
    """Run the API alone, in the foreground.

    For example:

    textmill api --port 8000
    """
    flags = {"--host": host, "--port": None if port is None else str(port)}
    _become("api", flags, model=model, dtype=None, data=data)


def _parse_workers(text: str) -> int | None:
    if text == "auto":
        return None
    if text.isdecimal():
        return int(text)
    raise typer.BadParameter("give a number or auto", param_hint="--workers")


def _run_stack(settings: Settings, options: StackOptions) -> None:
    from jobs.catalogue import Catalogue
    from jobs.privacy import keep_files_private
    from textmill.stack.report import Report
    from textmill.stack.signals import StopRequests
    from textmill.stack.stack import Stack, Stopped
    from textmill.terminal.consoles import answers, chatter
    from textmill.version import installed_version

    keep_files_private()
    Catalogue.load(settings)  # a wrong --model is said here, not by four children in their logs
    report = Report(chatter=chatter(), answers=answers())
    report.heading(f"Textmill {installed_version()} on {settings.data.absolute()}")
    with StopRequests() as requests:
        stack = Stack(
            settings,
            options,
            report=report,
            should_stop=requests.should_stop,
            in_a_hurry=requests.in_a_hurry,
        )
        try:
            stack.run()
        except Stopped:
            report.stopped()
            raise typer.Exit(130) from None
        report.stopped()


def _become(
    module: str,
    flags: dict[str, str | None],
    *,
    model: list[str] | None,
    dtype: str | None,
    data: Path | None,
) -> None:
    """Replaces this process by the server: signals and exit code are then its own."""
    from textmill.stack.child import child_environment, python
    from textmill.stack.environment import without_keys

    arguments = [part for flag, value in flags.items() if value is not None for part in (flag, value)]
    settings = {
        "TEXTMILL_MODELS": " ".join(model) if model else None,
        "TEXTMILL_DTYPE": dtype,
        "TEXTMILL_DATA": str(data) if data else None,
    }
    command = python(module, *arguments)
    environment = child_environment({name: value for name, value in settings.items() if value is not None})
    if module == "workers":
        environment = without_keys(environment)
    os.execve(command[0], command, environment)  # noqa: S606 -- our own module, no shell wanted
