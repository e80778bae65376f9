"""How each served model stands, put together from what its workers tell and once told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from jobs.catalogue import Catalogue, ModelEntry
from jobs.records import ModelFacts, WorkerBeat

#: What a model is, which changes only when it is loaded anew; everything else a worker tells is a counter.
FACTS = (
    "parameters", "dtype", "decoded_by", "architecture", "max_tokens", "revision", "languages", "labels",
    "way", "proven", "proven_tokens", "keeps_bytes", "why", "source_languages", "target_languages",
    "language_pair", "needs_target_language", "samples_by_default", "beams_by_default",
    "new_tokens_by_default", "has_chat_template", "structured_output", "unwritten_characters",
    "why_no_structured_output",
)  # fmt: skip


#: A worker's sign of life is written every 3 s; its loop comes round every half second.
#: Noticed well within 30 s of a freeze, yet not for one slow step or two missed signs.
SILENT_SECONDS, STUCK_SECONDS = 12.0, 20.0


class Pulse(StrEnum):
    """How a worker is, by its last sign of life."""

    WELL = "well"
    SILENT = "silent"  #: it gave no sign lately
    STUCK = "stuck"  #: it gives signs, and its device loop does not come round


def pulse_of(beat: WorkerBeat) -> Pulse:
    """How a worker is."""
    if beat.age_seconds > SILENT_SECONDS:
        return Pulse.SILENT
    return Pulse.STUCK if beat.loop_age_seconds + beat.age_seconds > STUCK_SECONDS else Pulse.WELL


@dataclass(frozen=True, kw_only=True)
class Standing:
    """One model of the catalogue."""

    entry: ModelEntry
    facts: Mapping[str, Any]  #: as they were last told; empty before any worker has loaded it
    beats: tuple[WorkerBeat, ...] = ()  #: of the workers that serve it
    #: what the workers that serve it say of why they cannot load it; None when one of them can
    error: str | None = None
    message: str | None = None
    may_pass: bool = False  #: the same load may succeed later without anybody changing anything

    @property
    def is_served(self) -> bool:
        """Whether a worker takes its documents now."""
        return bool(self.beats) and self.error is None

    @property
    def is_refused(self) -> bool:
        """Whether its documents would fail until somebody changes something."""
        return self.error is not None and not self.may_pass

    @property
    def why_not(self) -> str | None:
        """Why it is not served, in words; None when it is."""
        if self.error is not None:
            return self.message or self.error
        if self.beats:
            return None
        device = f" of its device, {self.entry.device}," if self.entry.device else ""
        return f"no worker{device} serves it now"


def standings(
    catalogue: Catalogue, beats: Sequence[WorkerBeat], kept: Iterable[ModelFacts]
) -> dict[str, Standing]:
    """The standing of every model, by name.

    Args:
        catalogue: what is served.
        beats: signs of life of the workers that run.
        kept: facts that workers told, whether they still run or not.
    """
    known = {(each.name, each.ref, each.revision): each.facts for each in kept}
    return {
        entry.name: _standing(entry, beats, known.get((entry.name, entry.ref, entry.revision), {}))
        for entry in catalogue.entries
    }


def static(told: Mapping[str, Any]) -> dict[str, Any]:
    """The facts among what an engine tells, without its counters."""
    return {name: told[name] for name in FACTS if told.get(name) is not None}


def _standing(entry: ModelEntry, all_beats: Sequence[WorkerBeat], kept: Mapping[str, Any]) -> Standing:
    beats = tuple(beat for beat in all_beats if entry.name in beat.models)
    if not beats and not kept and all_beats and not any(entry.is_for(beat.device) for beat in all_beats):
        return Standing(entry=entry, facts=kept, error="no_such_device", message=_nowhere(entry, all_beats))
    told = [beat.details.get("models", {}).get(entry.name) or {} for beat in beats]
    facts = next((static(each) for each in told if static(each)), kept)
    failed = [each for each in told if "error" in each]
    if not failed or len(failed) < len(told):
        return Standing(entry=entry, facts=facts, beats=beats)
    passing = next((each for each in failed if each.get("is_retryable")), None)
    worst = passing or failed[0]
    return Standing(
        entry=entry, facts=facts, beats=beats, error=str(worst["error"]),
        message=str(worst.get("message") or ""), may_pass=passing is not None,
    )  # fmt: skip


def _nowhere(entry: ModelEntry, beats: Sequence[WorkerBeat]) -> str:
    """Of a model that no worker has ever loaded, for a device that none has."""
    devices = ", ".join(sorted({beat.device for beat in beats}))
    return (
        f"it is for {entry.device}, and the workers are on {devices}: start one with "
        f"`--device {(entry.device or '').split(',')[0]}`, or change its `device` in textmill.toml"
    )
