"""Which files of a folder, or of a repository on the hub, belong to a model.

Nothing that can run code when it is opened is taken: weights are safetensors or GGUF.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch

from textmill.errors import NotAModel

_SINGLE, _INDEX = "model.safetensors", "model.safetensors.index.json"
_GGUF = ".gguf"
#: Configuration, tokenizers, templates, cards and licences.
_TAKEN = (
    "*.json", "*.jinja", "*.txt", "*.model", "*.spm", "*.tiktoken", "*.vocab", "*.bpe", "*.codes",
    "*.tokenizer", "vocab.*", "*.md", "LICENSE*", "LICENCE*", "NOTICE*", "COPYING*",
)  # fmt: skip
_CODE = ("*.py", "*.so", "*.pkl", "*.pickle")


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What is taken."""

    files: tuple[str, ...]
    gguf: str | None = None  #: the file of weights, if it is GGUF; it is among the files
    left_out: tuple[str, ...] = ()


def select(names: Iterable[str], where: str, *, file: str | None = None) -> Selection:
    """The files of a model among all that are there.

    Args:
        names: of the files at the top of a folder.
        where: what the folder is called, for messages.
        file: which GGUF file is wanted, where there are several.

    Raises:
        NotAModel: there are no weights that are read, or several to choose from.
    """
    there = sorted(names)
    weights = [] if file else _safetensors(there)
    gguf = None if weights else _gguf(there, where, file)
    others = [name for name in there if _is_taken(name)]
    if gguf is None and "config.json" not in others:
        raise NotAModel(f"{where}: there is no config.json in it; name the folder that save_pretrained wrote")
    taken = (*([gguf] if gguf else weights), *others)
    return Selection(files=taken, gguf=gguf, left_out=tuple(name for name in there if name not in taken))


def is_made_of_gguf(name: str, gguf: str | None) -> bool:
    """Whether a file is the one of weights in GGUF, or one that is written anew from it."""
    return gguf is not None and (name == gguf or name.endswith((".json", ".jinja")))


def _is_taken(name: str) -> bool:
    wanted = any(fnmatch(name, pattern) for pattern in _TAKEN)
    return wanted and not any(fnmatch(name, pattern) for pattern in _CODE)


def _safetensors(there: list[str]) -> list[str]:
    if _SINGLE in there:
        return [_SINGLE]
    found = [name for name in there if name.endswith(".safetensors")]
    if _INDEX in there:  # its shards, and not the same weights once more in another layout
        found = [name for name in found if name.startswith("model")] or found
    return found


def _gguf(there: list[str], where: str, file: str | None) -> str:
    found = [name for name in there if name.endswith(_GGUF)]
    if file is not None:
        if file in found:
            return file
        raise NotAModel(f"{where}: there is no {file}; GGUF files in it: {', '.join(found) or 'none'}")
    if len(found) == 1:
        return found[0]
    if found:
        shown = ", ".join(found[:8]) + (", ..." if len(found) > 8 else "")
        raise NotAModel(f"{where} holds several GGUF files; choose one with --file: {shown}")
    pickled = [name for name in there if name.endswith((".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack"))]
    if pickled:
        raise NotAModel(
            f"{where}: its weights are in {pickled[0]}; only safetensors and GGUF are read, because others "
            "can run code when they are opened. If you trust it, convert it: load it with transformers and "
            "save_pretrained it into a new folder"
        )
    raise NotAModel(f"{where}: there are no weights in it: no file ends in .safetensors or .gguf")
