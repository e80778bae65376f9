"""Which files of a folder hold a model's weights, and which files are not opened at all.

transformers follows whatever an index of shards names, pickled files included, and opens
pipes and devices like any file. So the index is read here first, and every file is looked
at before it is opened.
"""

from __future__ import annotations

import hashlib
import json
import math
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models.errors import CannotLoad

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
DIGEST = "sha256:"  #: what the revision of a folder begins with
_WEIGHTS = "*.safetensors"
_MOST_HEADER_BYTES = 100_000_000  #: as the format itself allows


def refuse_odd_files(folder: Path) -> None:
    """Refuses a folder with pipes, sockets or devices in it: to open one may never end.

    Raises:
        CannotLoad: there is one.
    """
    for path in sorted(folder.iterdir()):
        try:
            mode = path.stat().st_mode  # of what a link leads to
        except OSError:
            continue  # a link to nothing is found out by whoever needs it
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise CannotLoad(f"{path}: this is no regular file, but a pipe, a socket or a device: remove it")


def weight_files(folder: Path) -> list[Path]:
    """The files that the weights are read from; without a file of weights, none.

    Raises:
        CannotLoad: the index of shards names something else than safetensors files of the folder.
    """
    if (folder / SINGLE).exists() or not (folder / INDEX).exists():
        return sorted(folder.glob(_WEIGHTS))
    names = indexed_names(folder / INDEX)
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        raise CannotLoad(f"{folder}: {INDEX} names {missing[0]}, which is not there")
    return [folder / name for name in names]


def indexed_names(index: Path) -> list[str]:
    """The shards that an index names.

    Raises:
        CannotLoad: it is no index, or names something else than safetensors files beside it.
    """
    try:
        weight_map: Any = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = sorted(set(weight_map.values()))
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CannotLoad(f"{index}: this is no index of shards: {type(error).__name__}: {error}") from error
    for name in names:
        is_plain = isinstance(name, str) and Path(name).name == name and "\\" not in name
        if not is_plain or not name.endswith(".safetensors"):
            raise CannotLoad(
                f"{index}: it names {str(name)[:80]!r}: only .safetensors files of the same folder are read, "
                "because others can run code when they are opened"
            )
    return names


def fingerprint(folder: Path) -> str:
    """Says which weights these are, as a commit does for a model of the hub."""
    digest = hashlib.sha256()
    files = weight_files(folder)
    index = [folder / INDEX] if files and not (folder / SINGLE).exists() and (folder / INDEX).exists() else []
    for path in sorted([folder / "config.json", *index, *files]):
        digest.update(path.name.encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"{DIGEST}{digest.hexdigest()[:40]}"


def count_numbers(folder: Path) -> int:
    """How many numbers the weights of a folder have, by the headers of its files.

    Raises:
        CannotLoad: a header is damaged.
    """
    return sum(size for path in weight_files(folder) for size in _sizes(path))


def _sizes(path: Path) -> Iterator[int]:
    try:
        with path.open("rb") as file:
            num_bytes = int.from_bytes(file.read(8), "little")
            if num_bytes > min(_MOST_HEADER_BYTES, path.stat().st_size):
                raise ValueError(f"its header claims {num_bytes} bytes")  # noqa: TRY301  # told as all others
            header = json.loads(file.read(num_bytes))
        tensors = [tensor for name, tensor in header.items() if name != "__metadata__"]
        yield from (math.prod(tensor["shape"]) for tensor in tensors)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise CannotLoad(f"{path}: its header cannot be read: {type(error).__name__}: {error}") from error
