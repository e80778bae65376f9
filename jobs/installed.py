"""Models that were installed in a data folder: what is kept of each beside its files.

`DATA/models/NAME` holds one: `entry.json`, which is this, and `model`, its files. A folder
is complete or not there: `textmill models add` makes it elsewhere and renames it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from jobs.errors import ConfigurationError
from jobs.records import Task
from jobs.settings import DTYPE

#: A name is a folder, a word of a command line and part of a queue's name.
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
ENTRY, FILES = "entry.json", "model"


class InstalledModel(BaseModel):
    """One installed model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = Field(1, ge=1, le=1)  #: of this file
    name: Annotated[str, Field(pattern=NAME)]
    task: Task
    dtype: Annotated[str, Field(pattern=DTYPE)] | None = None  #: None: the worker's default
    default: bool = False  #: used when a request of its task names no model
    revision: str  #: `sha256:` over its configuration and weights, as a worker computes it at loading
    source: str  #: where it came from, in words
    licence: str | None = None  #: as its source says
    num_bytes: int  #: of its files
    added_at: datetime
    proof: Mapping[str, Any] = Field(default_factory=dict)  #: what was found when it was installed


def models_folder(data: Path) -> Path:
    """Where a data folder keeps its models."""
    return data.absolute() / "models"


def files_of(data: Path, name: str) -> Path:
    """The folder of one model's files."""
    return models_folder(data) / name / FILES


def read_installed(data: Path) -> list[InstalledModel]:
    """The installed models, by name.

    Raises:
        ConfigurationError: what is kept of one cannot be read; the message says what to do.
    """
    folder = models_folder(data)
    try:
        entries = sorted(folder.glob(f"[!.]*/{ENTRY}")) if folder.is_dir() else []
        return [_read(path) for path in entries]
    except OSError as error:
        raise ConfigurationError(f"{folder}: its models cannot be read: {error.strerror}") from error


def _read(path: Path) -> InstalledModel:
    name = path.parent.name
    try:
        found = InstalledModel.model_validate(json.loads(path.read_bytes()))
        if found.name != name:
            raise ValueError(f"it is of the model {found.name!r}")  # noqa: TRY301  # told as all others
    except ValidationError as error:
        first = error.errors()[0]
        problem = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    except ValueError as error:
        problem = str(error)
    else:
        return found
    raise ConfigurationError(
        f"{path}: {problem}; take the model away (`textmill models remove {name}`) and add it again"
    )
