"""How a model stands, by what its workers tell and once told."""

from __future__ import annotations

from typing import Any

from jobs.catalogue import Catalogue, ModelEntry
from jobs.records import ModelFacts, Task, WorkerBeat
from jobs.serving import Standing, standings

ENTRY = ModelEntry(name="m", task=Task.TRANSLATION, ref="org/m", revision="r1")
BROKEN = {"error": "cannot_load", "message": "no weights: convert them", "is_retryable": False}
PASSING = {"error": "cannot_load_now", "message": "the hub is away", "is_retryable": True}


def beat(worker: str, told: dict[str, Any] | None = None, *, models: tuple[str, ...] = ("m",)) -> WorkerBeat:
    details = {"models": {"m": told} if told else {}}
    return WorkerBeat(
        worker_id=worker, device="cpu", models=models, warm_models=(), loop_age_seconds=0.0, details=details
    )


def standing(*beats: WorkerBeat, kept: tuple[ModelFacts, ...] = (), entry: ModelEntry = ENTRY) -> Standing:
    return standings(Catalogue(entries=(entry,)), beats, kept)["m"]


def kept(ref: str = "org/m", revision: str | None = "r1") -> ModelFacts:
    return ModelFacts(name="m", ref=ref, revision=revision, facts={"language_pair": "en-de"})


def test_what_a_worker_tells_now_wins_over_what_was_kept_and_counters_are_no_facts() -> None:
    stands = standing(beat("w", {"language_pair": "en-fr", "steps": 7}), kept=(kept(),))
    assert stands.facts == {"language_pair": "en-fr"}
    assert stands.is_served


def test_facts_are_known_while_no_worker_runs_or_the_model_is_evicted() -> None:
    assert standing(kept=(kept(),)).facts == {"language_pair": "en-de"}
    assert standing(beat("w"), kept=(kept(),)).facts == {"language_pair": "en-de"}


def test_facts_of_another_model_under_the_same_name_are_not_its_own() -> None:
    assert standing(kept=(kept(ref="org/other"),)).facts == {}
    assert standing(kept=(kept(revision="r2"),)).facts == {}


def test_h15_a_model_is_refused_only_when_every_worker_that_serves_it_says_so() -> None:
    """H15: a million documents were accepted for a model that could not be loaded."""
    refused = standing(beat("a", BROKEN), beat("b", BROKEN))
    assert (refused.is_refused, refused.is_served, refused.why_not) == (True, False, BROKEN["message"])
    assert standing(beat("a", BROKEN), beat("b", {"dtype": "float32"})).is_served
    assert standing(beat("a", BROKEN), beat("b", models=("other",))).is_refused


def test_what_may_pass_is_told_and_not_refused() -> None:
    stands = standing(beat("a", PASSING), beat("b", BROKEN))
    assert not stands.is_refused
    assert not stands.is_served
    assert stands.why_not == "the hub is away"


def test_l16_a_model_for_a_device_that_no_worker_has_is_refused_unless_one_had_it() -> None:
    """L16's kind: its documents were accepted, and waited for ever."""
    entry = ENTRY.model_copy(update={"device": "cuda:1"})
    other = beat("a", models=("other",))  # on a CPU
    stands = standing(other, entry=entry)
    assert stands.is_refused
    assert "it is for cuda:1, and the workers are on cpu" in (stands.why_not or "")
    assert not standing(entry=entry).is_refused  # nobody runs, so nobody knows
    # A worker of that device has been here, and may come back.
    assert not standing(other, kept=(kept(),), entry=entry).is_refused
