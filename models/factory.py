"""Which engine computes a model: a table from task and family to a class.

Nothing heavy is imported before a model is really loaded, so that a worker of no-op
models never loads torch.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Protocol, cast

from models.engine import Engine
from models.errors import CannotLoad, CannotLoadNow, ModelError
from models.records import ModelSpec
from models.tasks.noop import NOOP_PREFIX, NoopEngine

if TYPE_CHECKING:
    from models.loading.device import Device
    from models.loading.registry import LoadedModel

logger = logging.getLogger(__name__)

#: (task, family) -> module and class; the class is called with the loaded model
_ENGINES = {
    ("generation", "causal"): ("models.tasks.generation", "GenerationEngine"),
    ("generation", "seq2seq"): ("models.tasks.generation", "GenerationEngine"),
    ("translation", "seq2seq"): ("models.tasks.translation.task", "TranslationEngine"),
    ("sentiment", "classifier"): ("models.tasks.sentiment", "SentimentEngine"),
    ("qa", "extractive"): ("models.tasks.qa.task", "QaEngine"),
}


class _EngineClass(Protocol):
    def __call__(self, loaded: LoadedModel) -> Engine: ...


def build_engine(spec: ModelSpec, device: Device) -> Engine:
    """Loads a model and puts the engine of its task and family in front of it.

    Raises:
        CannotLoad: the model cannot be loaded or does not do the task.
        CannotLoadNow: the network or the memory does not allow it at the moment.
    """
    if spec.ref.startswith(NOOP_PREFIX):
        return NoopEngine(spec)
    import torch  # here, on first need

    from models.memory import is_out_of_memory

    try:
        return _build(spec, device)
    except (ModelError, torch.AcceleratorError):
        raise  # ours; or the device itself has failed, and nothing can be computed here any more
    except Exception as error:  # foreign files through foreign code: no list of types is complete
        what = f"model {spec.name!r} ({spec.ref}): {type(error).__name__}: {error}"
        logger.exception("model cannot be built", extra={"action": "model_cannot_load", "model": spec.name})
        raise (CannotLoadNow if is_out_of_memory(error) else CannotLoad)(what) from error


def _build(spec: ModelSpec, device: Device) -> Engine:
    from models.loading.registry import load_model  # transformers loads here

    loaded = load_model(spec, device)
    try:
        module, name = _ENGINES[spec.task, loaded.family]
    except KeyError:
        raise CannotLoad(f"no engine serves {spec.task!r} with a {loaded.family} model") from None
    return cast("_EngineClass", getattr(importlib.import_module(module), name))(loaded)


def estimate_bytes(spec: ModelSpec) -> int:
    """Bytes the model will take, as far as can be told before loading; 0 when unknown."""
    if spec.ref.startswith(NOOP_PREFIX):
        return 0
    from models.loading.registry import estimate_bytes as estimate  # see above

    return estimate(spec)
