"""What is found out about a model before it is installed: what a worker would find out, and a trial."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from models.engine import Engine
from models.factory import build_engine
from models.installing.samples import try_out
from models.installing.task_of import task_of
from models.loading.device import Device
from models.loading.gguf import convert
from models.loading.source import find_source
from models.records import ModelSpec

#: Of the facts of an engine, those that are kept and told.
_FACTS = (
    "parameters", "memory_bytes", "dtype", "device", "revision", "architecture", "way", "decoded_by",
    "proven", "proven_tokens", "keeps_bytes", "why", "max_tokens", "has_chat_template", "notes", "languages",
    "language_pair", "labels", "structured_output", "unwritten_characters", "why_no_structured_output",
)  # fmt: skip


_EXACT, _BY_PAGES = "float32", "continuous"


def prove(
    folder: Path,
    device: Device,
    *,
    name: str,
    task: str | None,
    dtype: str,
    gguf: Path | None,
    defaults: Mapping[str, Any],
) -> dict[str, Any]:
    """Loads the model as a worker does and has it compute a few documents.

    Args:
        folder: its files; with `gguf`, where they are written.
        device: where it is loaded.
        name: what it will be called.
        task: what it is for; None: as its configuration says.
        dtype: in which numbers; `auto` as for a worker.
        gguf: a GGUF file to make the files of.
        defaults: generation settings that a GGUF file cannot hold.

    Returns:
        Facts, as plain JSON values; `dtype` is the one to load it in from now on, None for the worker's.

    Raises:
        CannotLoad: what keeps it from being served.
    """
    if gguf is not None:
        convert(gguf, folder, defaults)
    found = task or task_of(find_source(str(folder), None).config)
    started = time.perf_counter()
    spec = ModelSpec(name=name, task=found, ref=str(folder), dtype=dtype)
    engine, better = _load(spec, device)
    seconds = time.perf_counter() - started
    try:
        trial = try_out(engine, found)
        facts = {name: value for name, value in engine.describe().items() if name in _FACTS}
    finally:
        engine.close()
    return {
        "task": found,
        "dtype": better,
        "load_seconds": round(seconds, 1),
        "facts": facts,
        "trial": asdict(trial),
    }


def _load(spec: ModelSpec, device: Device) -> tuple[Engine, str | None]:
    """The engine, and the numbers to ask for if those chosen for the device keep it from its fastest way.

    On a CPU the rounding of bfloat16 can make a model's pages differ from `generate`, and batches
    of it then take many times as long as pages in float32.
    """
    engine = build_engine(spec, device)
    facts = engine.describe()
    is_chosen = spec.dtype == "auto" and device.is_cpu and facts.get("dtype") != _EXACT
    if not is_chosen or "decoded_by" not in facts or facts.get("way") == _BY_PAGES:
        return engine, None
    engine.close()
    engine = build_engine(replace(spec, dtype=_EXACT), device)
    if engine.describe().get("way") == _BY_PAGES:
        return engine, _EXACT
    engine.close()
    return build_engine(spec, device), None
