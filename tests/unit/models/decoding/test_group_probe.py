"""What is found out at loading: which models the group core serves, and how far."""

from __future__ import annotations

import dataclasses

import pytest

from models.decoding.attention.ancestry import AncestralAttention
from models.decoding.group_factory import build_group_program, group_core
from models.decoding.passes.positions import adapt_positions
from models.decoding.passes.steps import EagerSteps
from models.decoding.proving.group_probe import GroupVerdict, prove_groups
from models.decoding.tensors.group_state import GroupState
from models.loading.registry import LoadedModel
from models.proving.reference import Reference
from tests.support.groups import TIGHT, layout_of
from tests.support.tiny_models import Loader

_LIMITS = dataclasses.replace(TIGHT, max_entries=64)
_BOTH = [("generation", "llama"), ("translation", "bart"), ("translation", "t5")]


def _prove(model: LoadedModel) -> GroupVerdict:
    adapt_positions(model.model)
    return prove_groups(
        model,
        Reference(model),
        lambda layout: build_group_program(model, _LIMITS, by="reference", layout=layout, most_source=64),
        lambda program, limits: group_core(model, program, EagerSteps(program), limits),
        _LIMITS,
    )


@pytest.mark.parametrize(
    ("task", "name"), [*_BOTH, ("generation", "mistral"), ("translation", "marian"), ("translation", "nllb")]
)
def test_a_model_that_comes_out_right_is_served_at_every_length(task: str, name: str, loaded: Loader) -> None:
    assert _prove(loaded(task, name)) == GroupVerdict(_LIMITS.max_entries, layout=layout_of(name).value)


@pytest.mark.parametrize(("task", "name"), _BOTH)
def test_beams_that_see_only_what_they_wrote_themselves_are_noticed(
    task: str, name: str, loaded: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Models that repeat one token would hide it; these do not."""
    inherit = GroupState.inherit
    monkeypatch.setattr(
        GroupState, "inherit", lambda self, seats, _, positions: inherit(self, seats, seats, positions)
    )
    verdict = _prove(loaded(task, name))
    assert verdict.proven_tokens == 0
    assert "otherwise" in str(verdict.why)


@pytest.mark.parametrize("name", ["bart", "t5", "nllb"])
def test_a_source_that_is_seen_too_far_is_noticed(
    name: str, loaded: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    attend = AncestralAttention.attend_source

    def too_far(self, state, pages, shape, layer):  # type: ignore[no-untyped-def]
        state.rows[:, state.first_column + 13] += 1
        pages.keys[layer.number].nan_to_num_(0.0)
        pages.values[layer.number].nan_to_num_(0.0)
        result = attend(self, state, pages, shape, layer)
        state.rows[:, state.first_column + 13] -= 1
        return result

    monkeypatch.setattr(AncestralAttention, "attend_source", too_far)
    assert _prove(loaded("translation", name)).proven_tokens == 0


def test_a_bias_that_is_forgotten_is_noticed(loaded: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    attend = AncestralAttention.attend

    def forgetful(self, state, pages, shape, layer):  # type: ignore[no-untyped-def]
        object.__setattr__(layer, "bias", None)
        return attend(self, state, pages, shape, layer)

    monkeypatch.setattr(AncestralAttention, "attend", forgetful)
    assert _prove(loaded("translation", "t5")).proven_tokens == 0
