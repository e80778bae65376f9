"""The workers: what each has loaded, how large that is, what it does, and whether it makes progress."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from api.console import words
from jobs.listing import HeldSlice
from jobs.records import WorkerBeat
from jobs.serving import Pulse, pulse_of

_SHOWN_SLICES = 3


@dataclass(frozen=True)
class WorkerView:
    """One of them, by its last sign of life."""

    beat: WorkerBeat
    held: Sequence[HeldSlice]

    @property
    def status(self) -> tuple[str, str]:
        """Class and word."""
        match pulse_of(self.beat):
            case Pulse.SILENT:
                return "attention", f"Silent for {words.about(self.beat.age_seconds)}"
            case Pulse.STUCK:
                return "attention", f"Stuck for {words.about(self.beat.loop_age_seconds)}"
        return ("running", "Working") if self.held else ("completed", "Idle")

    @property
    def models(self) -> list[tuple[str, bool, str]]:
        """Each model by name: whether it is loaded, and how it stands."""
        told, warm = self.beat.details.get("models") or {}, self.beat.warm_models
        return [(name, name in warm, _said(told.get(name) or {})) for name in self.beat.models]

    @property
    def memory(self) -> str:
        """Of what is loaded."""
        told = (self.beat.details.get("models") or {}).values()
        sizes = [model["memory_bytes"] for model in told if isinstance(model.get("memory_bytes"), int)]
        return words.size(sum(sizes)) if any(sizes) else ""

    @property
    def slots(self) -> str:
        """How many slices it has of those that it may have."""
        slots = self.beat.details.get("slots")
        return f"{len(self.held):,} of {slots:,}" if isinstance(slots, int) else f"{len(self.held):,}"

    @property
    def documents(self) -> int:
        """That it has not settled yet."""
        return sum(each.documents for each in self.held)

    @property
    def jobs(self) -> list[str]:
        """Ids of the jobs that it works on; the first of them."""
        return list(dict.fromkeys(each.job_id for each in self.held))[:_SHOWN_SLICES]


def worker_views(beats: Iterable[WorkerBeat], held: Iterable[HeldSlice]) -> list[WorkerView]:
    """Each worker with what it has of the jobs that the visitor may see."""
    slices = list(held)
    return [
        WorkerView(beat, [each for each in slices if each.worker_id == beat.worker_id])
        for beat in sorted(beats, key=lambda beat: beat.worker_id)
    ]


def _said(told: Mapping[str, Any]) -> str:
    """How a model stands at a worker, in words."""
    if "error" in told:
        return str(told.get("message") or told["error"])
    memory = told.get("memory_bytes")
    return f"loaded, {words.size(memory)}" if memory else "loaded when it is asked for"
