"""The warm pool: which models are loaded on this worker's device, and which must go.

Counts bytes of parameters and buffers against a budget. Knows no torch: building an
engine and estimating its size are passed in. Only the device loop's thread uses it.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from models.engine import Engine
from models.errors import CannotLoad, CannotLoadNow
from models.records import ModelSpec

logger = logging.getLogger(__name__)

#: A model that cannot be loaded is not tried again for so long, so that a queue full
#: of its slices does not keep the device loop loading; short, so that a repaired
#: folder or setting is noticed without a restart.
_REFUSE_AGAIN_SECONDS = 30.0

BuildEngine = Callable[[ModelSpec], Engine]
EstimateBytes = Callable[[ModelSpec], int]


@dataclass(frozen=True)
class _Refusal:
    error: CannotLoad
    until_seconds: float


class WarmPool:
    """Engines by model name, least recently used first."""

    def __init__(
        self,
        specs: Iterable[ModelSpec],
        *,
        build: BuildEngine,
        budget_bytes: int,
        estimate: EstimateBytes = lambda _spec: 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._build = build
        self._estimate = estimate
        self._budget_bytes = budget_bytes
        self._clock = clock
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._sizes_bytes: dict[str, int] = {}
        self._refusals: dict[str, _Refusal] = {}
        self._failures: dict[str, CannotLoad] = {}
        #: engines built since the start; grows when models take turns
        self.num_loads = 0

    @property
    def warm(self) -> tuple[str, ...]:
        """Names of the loaded models, least recently used first."""
        return tuple(self._engines)

    @property
    def used_bytes(self) -> int:
        """Bytes of parameters and buffers that are loaded."""
        return sum(self._sizes_bytes[name] for name in self._engines)

    def busy(self) -> list[tuple[str, Engine]]:
        """The engines that have work."""
        return [(name, engine) for name, engine in self._engines.items() if engine.has_work]

    def describe(self) -> dict[str, Mapping[str, Any]]:
        """What each loaded engine says of itself."""
        return {name: dict(engine.describe()) for name, engine in self._engines.items()}

    @property
    def failures(self) -> Mapping[str, CannotLoad]:
        """Why the models could not be loaded whose last try failed."""
        return dict(self._failures)

    def get(self, name: str) -> Engine | None:
        """The engine of that model if it is loaded; marks it as just used."""
        engine = self._engines.get(name)
        if engine is not None:
            self._engines.move_to_end(name)
        return engine

    def make_room(self, name: str) -> bool:
        """Evicts idle models until `name` fits; False: it must wait for a busy one to finish.

        Raises:
            CannotLoad: the model is not served here, was refused a moment ago, or
                does not fit the budget even beside the pinned models alone.
        """
        spec = self._spec(name)
        need_bytes = self._sizes_bytes.get(name) or self._estimate(spec)
        try:
            self._check_it_can_ever_fit(spec, need_bytes)
        except CannotLoad as error:
            self._failures[name] = error
            raise
        self._evict_idle(down_to_bytes=self._budget_bytes - need_bytes)
        if self.used_bytes + need_bytes <= self._budget_bytes:
            return True
        return not any(engine.has_work for engine in self._engines.values())

    def load(self, name: str) -> Engine:
        """Builds the engine; `make_room` comes first.

        Raises:
            CannotLoad: it cannot be built; final refusals are remembered for a while.
        """
        spec = self._spec(name)
        started_seconds = self._clock()
        try:
            engine = self._build_engine(spec)
        except CannotLoad as error:
            self._failures[name] = error
            if not error.is_retryable:
                self._refusals[name] = _Refusal(error, self._clock() + _REFUSE_AGAIN_SECONDS)
            raise
        self._failures.pop(name, None)
        self._engines[name] = engine
        self._sizes_bytes[name] = int(engine.describe().get("memory_bytes", 0))
        self.num_loads += 1
        logger.info(
            "model loaded",
            extra={
                "action": "model_loaded",
                "model": name,
                "memory_bytes": self._sizes_bytes[name],
                "seconds": round(self._clock() - started_seconds, 3),
            },
        )
        self._evict_idle(down_to_bytes=self._budget_bytes, keep=name)
        return engine

    def close(self) -> None:
        """Frees every model."""
        while self._engines:
            self._engines.popitem()[1].close()

    def _build_engine(self, spec: ModelSpec) -> Engine:
        """Whatever foreign code raises over foreign files concerns this model, not the worker."""
        try:
            return self._build(spec)
        except CannotLoad:
            raise
        except Exception as error:
            logger.exception("model cannot be loaded", extra={"action": "load_raised", "model": spec.name})
            # By name, since torch's own is not known here.
            is_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
            kind = CannotLoadNow if is_memory else CannotLoad
            raise kind(f"model {spec.name!r}: {type(error).__name__}: {error}") from error

    def _spec(self, name: str) -> ModelSpec:
        refusal = self._refusals.get(name)
        if refusal is not None and self._clock() < refusal.until_seconds:
            raise refusal.error
        self._refusals.pop(name, None)
        try:
            return self._specs[name]
        except KeyError:
            served = ", ".join(self._specs) or "none"
            raise CannotLoad(f"model {name!r} is not served by this worker; served: {served}") from None

    def _check_it_can_ever_fit(self, spec: ModelSpec, need_bytes: int) -> None:
        pinned_bytes = sum(self._sizes_bytes[name] for name in self._engines if self._specs[name].pinned)
        if need_bytes + pinned_bytes > self._budget_bytes:
            raise CannotLoad(
                f"model {spec.name!r} needs {need_bytes} bytes beside {pinned_bytes} bytes of pinned models, "
                f"and the budget for warm models is {self._budget_bytes} bytes "
                "(TEXTMILL_MODEL_MEMORY_BYTES; a smaller dtype also helps)"
            )

    def _evict_idle(self, *, down_to_bytes: int, keep: str | None = None) -> None:
        for name, engine in list(self._engines.items()):  # least recently used first
            if self.used_bytes <= down_to_bytes:
                return
            if self._specs[name].pinned or engine.has_work or name == keep:
                continue
            del self._engines[name]
            engine.close()
            logger.info("model evicted", extra={"action": "model_evicted", "model": name})
