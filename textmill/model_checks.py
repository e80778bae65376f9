"""The models of the catalogue, checked without a server: their files, or the cache of the hub."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

from jobs.catalogue import Catalogue, ModelEntry
from jobs.settings import Settings
from textmill.findings import Check, missing, note, ok
from textmill.model_files import look_into
from textmill.stack.devices import Machine

_BUNDLED = "bundled:"
_NOOP = "noop:"


def check_models(settings: Settings, machine: Machine) -> Iterator[Check]:
    """One line a model, and one more for a model of a device that is not used here."""
    used = {f"cuda:{i}" for i in range(machine.num_gpus)} or {"cpu"}
    for entry in Catalogue.load(settings).entries:
        yield _check(entry)
        if not any(entry.is_for(device) for device in used):
            text = (
                f"{entry.name} is for {entry.device}; `textmill up` has workers on {', '.join(sorted(used))}"
            )
            yield note("model", text, f"textmill up --device {entry.device}, or a worker elsewhere")


def _check(entry: ModelEntry) -> Check:
    label = f"{entry.name} for {entry.task} ({entry.ref})"
    if entry.ref.startswith(_NOOP):
        return ok("model", label)
    folder = _bundled(entry.ref) if entry.ref.startswith(_BUNDLED) else Path(entry.ref).expanduser()
    if folder is None:
        return missing("model", f"{label}: it is not part of this installation", "install Textmill anew")
    if folder.is_dir():
        return _from_files(label, folder, entry)
    if folder.exists():
        return missing("model", f"{label}: it is a file, not a folder", "name the folder around it")
    if folder.is_absolute() or entry.ref.startswith((".", "~")):
        return missing("model", f"{label}: no such folder", "correct --model or textmill.toml")
    return _from_hub(label, entry)


def _from_files(label: str, folder: Path, entry: ModelEntry) -> Check:
    found = look_into(folder, entry.task)
    if found is None:
        return ok("model", label)
    problem, remedy = found
    return missing("model", f"{label}: {problem}", remedy)


def _from_hub(label: str, entry: ModelEntry) -> Check:
    try:
        from huggingface_hub import constants, try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        return note("model", label, "pip install 'textmill[worker]' to see whether it is in the cache")
    try:
        cached = try_to_load_from_cache(entry.ref, "config.json", revision=entry.revision)
    except HFValidationError as error:
        return missing("model", f"{label}: neither a folder nor an id of the hub: {error}")
    if isinstance(cached, str):
        check = _from_files(label, Path(cached).parent, entry)
        if check.verdict == "ok" or constants.HF_HUB_OFFLINE:
            return check
        return note("model", f"{check.text} (in the cache; what lacks is fetched at the start)", check.remedy)
    if constants.HF_HUB_OFFLINE:
        return missing(
            "model",
            f"{label}: it is not in the cache, and HF_HUB_OFFLINE is set",
            f"unset HF_HUB_OFFLINE, or fetch it where there is a network: hf download {entry.ref}",
        )
    return note(
        "model", f"{label}: not in the cache; it is fetched from the hub at the start, if it is there"
    )


def _bundled(ref: str) -> Path | None:
    spec = importlib.util.find_spec("models")
    roots = spec.submodule_search_locations if spec is not None else None
    folders = [Path(root) / "bundled" / ref.removeprefix(_BUNDLED) for root in roots or []]
    return next((folder for folder in folders if folder.is_dir()), None)
