"""Which models this installation serves, by name. Says nothing of how they load.

Order of sources: `TEXTMILL_MODELS` / `--model`, then `[[models]]` in `textmill.toml`,
then the bundled models for every task that still has none, then those that
`textmill models add` installed in the data folder, which stand beside all others.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from jobs.echo import echoed
from jobs.errors import ConfigurationError, UnknownModel
from jobs.installed import InstalledModel, files_of, read_installed
from jobs.records import Task
from jobs.settings import DEVICE, DTYPE, Settings
from jobs.tasks import read_task

_BUNDLED = {task: f"bundled:{task}" for task in Task}


class ModelEntry(BaseModel):
    """One served model: a `[[models]]` table, or one `--model` flag."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    task: Task
    ref: str  #: Hugging Face id, local folder, or `bundled:NAME`
    revision: str | None = None
    dtype: Annotated[str, Field(pattern=DTYPE)] | None = None  #: None: the worker's default
    #: None, auto: any worker; `cuda`: those on any GPU; else those of it. Several in a list, or by commas.
    device: str | None = None
    pinned: bool = False  #: never evicted from the warm pool
    default: bool = False  #: used when a request of its task names no model
    max_batch_tokens: int | None = None

    def is_for(self, device: str) -> bool:
        """Whether a worker of that device serves it (`cpu`, or `cuda:N` by the number on the machine)."""
        if self.device is None:
            return True
        kind = device.partition(":")[0]
        return not {"auto", device, kind}.isdisjoint(self.device.split(","))

    @field_validator("device", mode="before")
    @classmethod
    def _check_device(cls, value: object) -> object:
        named = value.split(",") if isinstance(value, str) else value
        if named is None:
            return None
        if not isinstance(named, list) or not all(isinstance(each, str) for each in named):
            raise ValueError("must be a device, or a list of them")
        named = [each.strip() for each in named]
        wrong = next((each for each in named if not re.match(DEVICE, each)), None)
        if wrong is not None or not named:
            raise ValueError(f"{wrong!r} is no device: use auto, cpu, cuda (any GPU) or cuda:N")
        return ",".join(named)

    @property
    def queue(self) -> str:
        """The Celery queue of this model: readable, safe as a key, distinct per name."""
        slug = re.sub(r"[^A-Za-z0-9._-]+", "-", self.name)
        if slug != self.name:
            slug += "-" + hashlib.sha256(self.name.encode()).hexdigest()[:6]
        return f"model.{slug}"


@dataclass(frozen=True)
class Catalogue:
    """The served models."""

    entries: tuple[ModelEntry, ...]

    def get(self, name: str) -> ModelEntry:
        """The model of that name.

        Raises:
            UnknownModel: the server does not list it.
        """
        for entry in self.entries:
            if entry.name == name:
                return entry
        listed = ", ".join(entry.name for entry in self.entries)
        raise UnknownModel(f"model {echoed(name)} is not served here; listed: {listed}")

    def default(self, task: Task) -> ModelEntry:
        """The model used for a task when none is named: marked default, else the first.

        Raises:
            UnknownModel: no model serves the task.
        """
        of_task = [entry for entry in self.entries if entry.task is task]
        if not of_task:
            raise UnknownModel(f"no model here serves the task {task}")
        return next((entry for entry in of_task if entry.default), of_task[0])

    @classmethod
    def load(cls, settings: Settings) -> Catalogue:
        """Reads the catalogue the settings point at.

        Raises:
            ConfigurationError: a flag or table is wrong; the message quotes it.
        """
        entries = [_from_flag(flag) for flag in settings.models] + _from_file(settings.config)
        served = {entry.task for entry in entries}
        entries += [
            ModelEntry(name=_name_of(ref), task=task, ref=ref)
            for task, ref in _BUNDLED.items()
            if task not in served
        ]
        entries += [_from_installed(settings.data, model) for model in read_installed(settings.data)]
        return cls(entries=tuple(_checked(entries)))


def _from_flag(flag: str) -> ModelEntry:
    task, separator, ref = flag.partition("=")
    if not separator or not ref:
        raise ConfigurationError(f"--model {flag!r}: write TASK=REF or TASK=REF@REVISION")
    ref, _, revision = ref.partition("@")
    try:
        named = read_task(task)
        if named.languages:
            # A model's own pair is in its files; a request names the one it wants.
            raise ConfigurationError(f"--model {flag!r}: write translation={ref}; requests name languages")
        return ModelEntry(name=_name_of(ref), task=named.task, ref=ref, revision=revision or None)
    except ValueError as error:
        raise ConfigurationError(f"--model {flag!r}: {error}") from error


def _from_file(path: Path) -> list[ModelEntry]:
    if not path.exists():
        return []
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8")).get("models", [])
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    return [_from_table(path, table) for table in tables]


def _from_table(path: Path, table: Mapping[str, Any]) -> ModelEntry:
    named = {"name": _name_of(str(table.get("ref", ""))), **table}
    try:
        return ModelEntry.model_validate(named)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{path}: model {named['name']!r}: {where}: {first['msg']}") from error


def _from_installed(data: Path, model: InstalledModel) -> ModelEntry:
    return ModelEntry(
        name=model.name,
        task=model.task,
        ref=str(files_of(data, model.name)),
        revision=model.revision,
        dtype=model.dtype,
        default=model.default,
    )


def _checked(entries: Iterable[ModelEntry]) -> Iterable[ModelEntry]:
    seen: set[str] = set()
    for entry in entries:
        if entry.name in seen:
            raise ConfigurationError(
                f"two models are named {entry.name!r}; give one a `name` in textmill.toml, "
                "or add an installed one again under another (`textmill models add ... --name`)"
            )
        seen.add(entry.name)
        yield entry


def _name_of(ref: str) -> str:
    if ref.startswith("bundled:"):
        return f"textmill-{ref.removeprefix('bundled:')}"
    path = Path(ref)
    return path.name if path.is_absolute() or ref.startswith(".") else ref
