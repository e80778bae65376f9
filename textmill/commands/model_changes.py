"""`textmill models add` and `remove`: what is installed in a data folder. They need no server."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from jobs.installed import InstalledModel
    from jobs.settings import Settings
    from textmill.installing.offers import Offer

_Data = Annotated[
    Path | None, typer.Option("--data", help="Data folder to install into (default .textmill).")
]
_MOST_LEFT_OUT = 6


def add(
    context: typer.Context,
    ref: Annotated[
        str,
        typer.Argument(
            metavar="REF", help="smollm2, a folder, a GGUF file, or OWNER/NAME[@REVISION] of the hub."
        ),
    ],
    name: Annotated[str | None, typer.Option(help="What to call it; default: as REF is called.")] = None,
    task: Annotated[
        str | None, typer.Option("--task", "-t", help="What it is for; default: as its configuration says.")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="auto, float32, bfloat16, float16 or int8; default: the worker's.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where it is proven: auto, cpu or cuda:N.")] = "auto",
    file: Annotated[str | None, typer.Option(help="Which GGUF file, where there are several.")] = None,
    default: Annotated[
        bool, typer.Option("--default", help="Use it for rows of its task that name no model.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Download without asking.")] = False,
    data: _Data = None,
) -> None:
    """Install a model: fetch it, prove that it can be served, and put it in the catalogue.

    Says first what is downloaded, how much, and under which licence. Only safetensors and GGUF are
    taken, and no code. A server that runs serves it after a restart.

    For example:

    textmill models add smollm2
    textmill models add ./my-models/verdict --name verdict
    textmill models add HuggingFaceTB/SmolLM2-360M-Instruct --default
    """
    from jobs.settings import Settings
    from textmill.installing.install import Wish, check, find, install
    from textmill.terminal.consoles import answers, chatter
    from textmill.terminal.proofs import found_out

    settings = Settings.load(data=data or _folder_of(context), dtype=dtype)
    offer = find(ref, file=file)
    wish = Wish(name=name or offer.name, task=task, dtype=dtype, device=device, is_default=default)
    check(settings, wish)
    _announce(offer)
    if offer.is_downloaded and not yes:
        _ask(offer)
    model = install(
        settings, offer, wish, say=lambda text: chatter().print(f"{text} ...", markup=False, soft_wrap=True)
    )
    answers().print(f"{model.name} is installed in {settings.data / 'models' / model.name}", markup=False)
    for label, text in found_out(model):
        answers().print(f"  {label:<10} {text}", markup=False, soft_wrap=True)
    _say_what_next(settings, model)


def remove(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="As `textmill models --installed` shows it.")],
    data: _Data = None,
) -> None:
    """Take away a model that `textmill models add` installed, with its files.

    A server that runs keeps what it has loaded until it is restarted. Documents that still wait
    for the model then wait until it is added again, or their job is cancelled.

    For example:

    textmill models remove smollm2
    """
    from jobs.settings import Settings
    from textmill.installing.install import remove as take_away
    from textmill.terminal.consoles import answers, chatter

    settings = Settings.load(data=data or _folder_of(context))
    take_away(settings, name)
    answers().print(f"{name} is removed from {settings.data}", markup=False)
    if (stack := _running(settings)) is not None:
        chatter().print(f"{stack} serves it until it is restarted.", markup=False, soft_wrap=True)


def _folder_of(context: typer.Context) -> Path:
    from textmill.commands.server import server_of

    return server_of(context).data


def _announce(offer: Offer) -> None:
    from textmill.terminal.consoles import chatter
    from textmill.terminal.words import size

    rows = [
        ("model", offer.title),
        ("from", offer.source),
        ("licence", offer.licence or "its source names none: look before you use it"),
        ("download", size(offer.download_bytes) if offer.is_downloaded else "nothing: its files are copied"),
        ("room", f"up to {size(offer.disk_bytes)} while it is installed"),
    ]
    if offer.left_out:
        shown = ", ".join(offer.left_out[:_MOST_LEFT_OUT])
        rows.append(("left out", shown + (", ..." if len(offer.left_out) > _MOST_LEFT_OUT else "")))
    for label, text in rows:
        chatter().print(f"  {label:<10} {text}", markup=False, soft_wrap=True)


def _ask(offer: Offer) -> None:
    from textmill.errors import NotInstalled
    from textmill.terminal.words import size

    if not sys.stdin.isatty():
        raise typer.BadParameter(
            "nobody is there to be asked: agree to the download with --yes", param_hint="--yes"
        )
    agreed = typer.confirm(
        f"Download {size(offer.download_bytes)} under this licence ({offer.licence or 'none named'})?",
        err=True,
    )
    if not agreed:
        raise NotInstalled("you did not agree: nothing was downloaded")


def _say_what_next(settings: Settings, model: InstalledModel) -> None:
    from jobs.catalogue import Catalogue
    from textmill.terminal.consoles import answers

    stack = _running(settings)
    start = f"{stack} does not serve it yet: stop it and start it again." if stack else "Start `textmill up`."
    is_default = Catalogue.load(settings).default(model.task).name == model.name
    use = (
        f"It is the default for {model.task}." if is_default else f"Ask for it by name: --model {model.name}."
    )
    answers().print(
        f"Servers and workers read their models when they start. {start}", markup=False, soft_wrap=True
    )
    answers().print(use, markup=False, soft_wrap=True)


def _running(settings: Settings) -> str | None:
    """The stack that runs on this data folder, in words."""
    from textmill.stack.folder import running

    stack = running(settings.data.absolute())
    return None if stack is None else f"`textmill up` at {stack.url} (pid {stack.pid})"
