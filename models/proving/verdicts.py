"""What was found out about a model by trying, kept so that it is not tried at every start.

A verdict holds for one digest: of the model's configuration, generation defaults and
tokenizer, of the library's version, of our own code, and of the device and dtype. Where
nothing can be kept, everything is tried again: a lost or damaged file costs seconds.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers

from models.loading.registry import LoadedModel

logger = logging.getLogger(__name__)

Verdict = Mapping[str, Any]  #: of plain JSON values

#: Of `tokenizer_config.json`, beside what the tokenizer itself is made of.
_TOKENIZER_SETTINGS = (
    "special_tokens_map", "padding_side", "truncation_side", "model_max_length", "model_input_names",
    "chat_template",
)  # fmt: skip


def remembered(loaded: LoadedModel, question: str, find_out: Callable[[], Verdict]) -> Verdict:
    """The verdict on one question about a model: read when it was found before, else found and kept.

    Args:
        loaded: the model.
        question: which one; a word that names a file, such as `decoding`.
        find_out: tries it.
    """
    path = _folder() / f"{question}-{digest(loaded)}.json"
    kept = _read(path)
    if kept is not None:
        return kept
    verdict = find_out()
    _keep(path, verdict)
    return verdict


def digest(loaded: LoadedModel) -> str:
    """Equal for models that must behave alike; the weights' values are not part of it."""
    facts = {
        "config": loaded.config.to_dict(),
        "generation_config": _defaults_of(loaded),
        "tokenizer": _tokenizer_of(loaded),
        "class": type(loaded.model).__name__,
        "layers": sorted({type(module).__name__ for module in loaded.model.modules()}),  # packed or not
        "task": loaded.spec.task,
        "dtype": loaded.dtype,
        "device": loaded.device.title,
        "processor": [torch.backends.cpu.get_cpu_capability(), loaded.device.num_threads],
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "textmill": _own_code(),
    }
    text = json.dumps(facts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


def _defaults_of(loaded: LoadedModel) -> dict[str, Any] | None:
    config = getattr(loaded.model, "generation_config", None)
    return None if config is None else dict(config.to_dict())


def _tokenizer_of(loaded: LoadedModel) -> str:
    tokenizer: Any = loaded.tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    content = backend.to_str() if backend is not None else _vocabulary_of(tokenizer)
    settings = [type(tokenizer).__name__, content]
    settings += [str(getattr(tokenizer, name, None)) for name in _TOKENIZER_SETTINGS]
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()


def _vocabulary_of(tokenizer: Any) -> str:
    if len(tokenizer) > sys.maxunicode:  # CANINE's: every character, which takes seconds to write down
        return f"all of Unicode, {len(tokenizer)}"
    return json.dumps(tokenizer.get_vocab(), sort_keys=True)


@functools.cache
def _own_code() -> str:
    """Of every line that has a say: a verdict of other code is no verdict of this one."""
    code = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        code.update(path.read_bytes())
    return code.hexdigest()


def _folder() -> Path:
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111  # never raises
    return Path(cache) / "textmill" / "verdicts"


def _read(path: Path) -> Verdict | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def _keep(path: Path, verdict: Verdict) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Under its own name only once it is whole: another worker may be reading.
        with tempfile.NamedTemporaryFile("w", dir=path.parent, suffix=".new", delete=False) as file:
            json.dump(verdict, file)
        Path(file.name).replace(path)
    except OSError as error:
        logger.info("verdict not kept", extra={"action": "verdict_not_kept", "reason": str(error)})
