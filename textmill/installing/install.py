"""The order of things: whether it may be, room, files, proof, and then the name."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from jobs.catalogue import Catalogue
from jobs.errors import ConfigurationError
from jobs.installed import FILES, NAME, InstalledModel, read_installed
from jobs.settings import Settings
from jobs.tasks import read_task
from textmill.errors import NameTaken, NotAModel
from textmill.installing import folder, hub, package
from textmill.installing.known import KNOWN
from textmill.installing.offers import Offer
from textmill.installing.proving import prove
from textmill.installing.shelf import changing

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What a user asked for beside the model itself."""

    name: str
    task: str | None = None  #: None: as its configuration says
    dtype: str | None = None  #: None: the worker's default
    device: str = "auto"  #: where it is proven
    is_default: bool = False


def find(ref: str, *, file: str | None = None) -> Offer:
    """What a reference means: a known name, a folder, a GGUF file, or a hub id with or without `@REVISION`.

    Raises:
        NotAModel: nothing of that kind.
        NotInstalled: the hub does not say what it is.
    """
    if ref in KNOWN:
        return package.offer(KNOWN[ref])
    path = Path(ref).expanduser()
    if path.exists() or path.is_absolute() or ref.startswith((".", "~")):
        return folder.offer(path, file=file)
    repository, _, revision = ref.partition("@")
    if _HUB_ID.fullmatch(repository):
        return hub.offer(repository, revision or None, file=file)
    raise NotAModel(
        f"{ref!r} is no model that can be added: name one of {', '.join(KNOWN)}, a folder (./FOLDER), a GGUF "
        "file, or a model of the hub (OWNER/NAME)"
    )


def check(settings: Settings, wish: Wish) -> None:
    """Whatever speaks against a wish, before anything is fetched.

    Raises:
        NotAModel: the name is none, or there is no such task.
        NameTaken: a model of this name is served already.
    """
    if not re.fullmatch(NAME, wish.name):
        raise NotAModel(
            f"{wish.name[:80]!r} is no name for a model: use letters, digits, '.', '_' and '-', 64 at most "
            "(--name)"
        )
    if wish.task is not None:
        try:
            read_task(wish.task)
        except ValueError as error:
            raise NotAModel(f"--task: {error}") from error
    if wish.name in {model.name for model in read_installed(settings.data)}:
        raise NameTaken(
            f"a model named {wish.name!r} is installed already: choose another with --name, or take it away "
            f"first (textmill models remove {wish.name})"
        )
    if wish.name in {entry.name for entry in Catalogue.load(settings).entries}:
        raise NameTaken(
            f"a model named {wish.name!r} is in the catalogue already: choose another with --name"
        )


def install(settings: Settings, offer: Offer, wish: Wish, *, say: Callable[[str], None]) -> InstalledModel:
    """Fetches, proves and keeps a model.

    Args:
        settings: whose data folder it is for.
        offer: the model.
        wish: what it is to be called, and so on.
        say: hears what is being done.

    Raises:
        NotInstalled: it was not, and nothing is left of it; the message says why.
        NameTaken: another of that name came meanwhile.
    """
    with changing(settings.data) as shelf, shelf.draft(offer.disk_bytes) as draft:
        say("fetching it" if offer.is_downloaded else "copying it")
        files = offer.fetch(draft)
        say("turning it into safetensors and proving it" if files.gguf else "proving it")
        found = prove(
            files,
            draft,
            name=wish.name,
            task=None if wish.task is None else read_task(wish.task).task,
            dtype=wish.dtype or settings.dtype,
            device=wish.device,
            defaults=offer.defaults,
        )
        model = InstalledModel(
            name=wish.name,
            task=found["task"],
            dtype=wish.dtype or found.get("dtype"),
            default=wish.is_default,
            revision=found["facts"]["revision"],
            source=offer.source,
            licence=offer.licence,
            num_bytes=sum(path.stat().st_size for path in (draft / FILES).iterdir()),
            added_at=datetime.now(UTC),
            proof=found,
        )
        shelf.keep(draft, model)
    return model


def remove(settings: Settings, name: str) -> None:
    """Takes an installed model away.

    Raises:
        NotAModel: it is not installed here; the message says where it comes from instead.
        NotInstalled: another command changes the models.
    """
    with changing(settings.data) as shelf:
        try:
            shelf.remove(name)
        except NotAModel as error:
            if name in _served(settings):
                raise NotAModel(
                    f"{name!r} was not installed by `textmill models add`: it is one of Textmill's own, or "
                    "of --model or textmill.toml; take it out there"
                ) from error
            raise


def _served(settings: Settings) -> set[str]:
    try:
        return {entry.name for entry in Catalogue.load(settings).entries}
    except ConfigurationError:  # of some other model; whoever cleans up need not hear of it
        return set()
