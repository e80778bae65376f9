"""A model in a folder of this machine, or a GGUF file: copied, so that it stays as it was proven."""

from __future__ import annotations

import re
import shutil
import stat
from pathlib import Path

from textmill.errors import NotAModel
from textmill.installing.offers import GGUF_GROWS, Files, Offer
from textmill.installing.selection import Selection, is_made_of_gguf, select

_LICENCE = re.compile(r"^licen[sc]e:[ \t]*['\"]?([^\s'\"#]+)", re.MULTILINE)
_CARD_BYTES = 100_000


def offer(
    folder: Path, *, file: str | None = None, source: str | None = None, name: str | None = None
) -> Offer:
    """What would be copied.

    Args:
        folder: the model's folder, or a GGUF file.
        file: which GGUF file of the folder, where there are several.
        source: where it comes from, in words; default: the folder.
        name: what it is called if nobody says otherwise; default: as the folder or file.

    Raises:
        NotAModel: there is no such folder, or no model in it.
    """
    folder = folder.expanduser()
    if folder.is_file():
        folder, file = folder.parent, folder.name
    if not folder.is_dir():
        raise NotAModel(f"there is no folder {folder}")
    sizes = _sizes(folder)
    chosen = select(sizes, str(folder), file=file)
    num_bytes = sum(sizes[name] for name in chosen.files)
    return Offer(
        name=name or (Path(file).stem if file else folder.resolve().name),
        title=f"the model in {folder}" if file is None else f"the model in {folder / file}",
        source=source or str((folder / (chosen.gguf or "")).resolve()),
        licence=licence_of(folder / "README.md"),
        download_bytes=0,
        disk_bytes=num_bytes * GGUF_GROWS if chosen.gguf else num_bytes,
        fetch=lambda draft: _copy(folder, chosen, draft),
        left_out=chosen.left_out,
    )


def licence_of(card: Path) -> str | None:
    """What the head of a model's card says; None when it says nothing."""
    try:
        with card.open("rb") as file:
            text = file.read(_CARD_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return None
    head = text.split("\n---", 1)[0] if text.startswith("---") else ""
    found = _LICENCE.search(head)
    return found.group(1) if found else None


def _sizes(folder: Path) -> dict[str, int]:
    """Bytes of the regular files at the top of a folder; links count as what they lead to."""
    sizes: dict[str, int] = {}
    try:
        for path in folder.iterdir():
            if path.name.startswith("."):
                continue
            facts = path.stat()
            if stat.S_ISREG(facts.st_mode):
                sizes[path.name] = facts.st_size
            elif not stat.S_ISDIR(facts.st_mode):
                raise NotAModel(
                    f"{path}: this is no regular file, but a pipe, a socket or a device: remove it"
                )
    except OSError as error:
        raise NotAModel(f"{error.filename or folder} cannot be read: {error.strerror}") from error
    return sizes


def _copy(folder: Path, chosen: Selection, draft: Path) -> Files:
    files = draft / "model"
    try:
        for name in chosen.files:
            if not is_made_of_gguf(name, chosen.gguf):
                shutil.copyfile(folder / name, files / name)
    except PermissionError as error:
        raise NotAModel(f"{error.filename} cannot be read: {error.strerror}") from error
    return Files(folder=files, gguf=folder / chosen.gguf if chosen.gguf else None)
