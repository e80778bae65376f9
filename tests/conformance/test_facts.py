"""What workers tell of models outlives them, and the last word counts."""

from __future__ import annotations

from jobs.records import ModelFacts
from tests.support.ledger import Ledger


def told(name: str, ref: str = "r", revision: str | None = None, **facts: object) -> ModelFacts:
    return ModelFacts(name=name, ref=ref, revision=revision, facts=facts)


def test_what_was_told_of_a_model_is_kept_as_it_was_told(ledger: Ledger) -> None:
    nllb = told("nllb", revision="abc", languages=["deu_Latn", "fra_Latn"], needs_target_language=True)
    ledger.store.keep_facts(nllb)
    ledger.store.keep_facts(told("a", way="continuous"))
    assert ledger.store.kept_facts() == [told("a", way="continuous"), nllb]


def test_a_model_told_anew_has_the_new_facts_alone(ledger: Ledger) -> None:
    ledger.store.keep_facts(told("a", ref="old", dtype="float32", why="slow"))
    ledger.store.keep_facts(told("a", ref="new", dtype="bfloat16"))
    ledger.store.keep_facts(told("a", ref="new", dtype="bfloat16"))
    assert ledger.store.kept_facts() == [told("a", ref="new", dtype="bfloat16")]


def test_nothing_is_known_before_anybody_told(ledger: Ledger) -> None:
    assert ledger.store.kept_facts() == []
