"""What would be installed, told before anything is fetched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: Numbers of 16 bits take about four times the bytes of a GGUF of four bits.
GGUF_GROWS = 4


@dataclass(frozen=True, kw_only=True)
class Files:
    """Where the files of a model were put."""

    folder: Path  #: the model's folder, complete, or empty beside `gguf`
    gguf: Path | None = None  #: a GGUF file that the folder is to be made of


@dataclass(frozen=True, kw_only=True)
class Offer:
    """A model that can be installed."""

    name: str  #: what it is called if nobody says otherwise
    title: str
    source: str  #: where it comes from, pinned, in words
    licence: str | None  #: as its source says; None: it says nothing
    download_bytes: int  #: 0: nothing is downloaded
    disk_bytes: int  #: the most it takes while it is installed
    #: puts the files into a folder that is there and empty, and tells where they are
    fetch: Callable[[Path], Files]
    #: how it decodes by default, for a file of weights that cannot say so
    defaults: Mapping[str, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()  #: files that are not taken

    @property
    def is_downloaded(self) -> bool:
        """Whether installing it fetches anything over the network."""
        return self.download_bytes > 0
