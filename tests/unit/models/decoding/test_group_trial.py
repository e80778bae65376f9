"""What is found out at loading on a CPU: which models decode by groups there, and in which layout."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from models.decoding.attention.ancestry_cpu import AncestralCpu
from models.decoding.passes.arrangement import Layout
from models.decoding.passes.encoder_decoder import EncoderDecoderForward
from models.decoding.passes.positions import adapt_positions
from models.decoding.proving.group_trial import agrees
from models.decoding.proving.trials import short_trials
from models.decoding.tensors.group_state import GroupState
from models.loading.registry import LoadedModel
from models.proving.reference import Reference
from tests.support.groups import layout_of
from tests.support.tiny_models import Loader

_MODELS = [("generation", "llama"), ("translation", "bart"), ("translation", "t5"), ("translation", "nllb")]


def _tried(model: LoadedModel, layout: Layout) -> str | None:
    adapt_positions(model.model)
    trial, reference = short_trials(model)[0], Reference(model)
    alone = [
        reference.logits([prompt], [ids])[0]
        for prompt, ids in zip(trial.prompts, trial.following, strict=True)
    ]
    return agrees(model, layout, trial, alone)


@pytest.mark.parametrize(("task", "name"), _MODELS)
def test_a_model_that_comes_out_right_is_served(task: str, name: str, loaded: Loader) -> None:
    assert _tried(loaded(task, name), layout_of(name)) is None


@pytest.mark.parametrize(("task", "name"), _MODELS)
def test_rows_that_see_only_what_they_wrote_themselves_are_noticed(
    task: str, name: str, loaded: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    inherit = GroupState.inherit
    monkeypatch.setattr(
        GroupState, "inherit", lambda self, seats, _, positions: inherit(self, seats, seats, positions)
    )
    assert "differ" in str(_tried(loaded(task, name), layout_of(name)))


@pytest.mark.parametrize("name", ["bart", "t5", "nllb"])
def test_a_wrong_source_is_noticed(name: str, loaded: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    attend = AncestralCpu.attend_source

    def of_neighbours(self: Any, state: Any, *rest: Any) -> Any:
        own = state.rows[:, state.first_column + 14 :]  # the pages of the source
        before = own.clone()
        own.copy_(before.roll(2, 0))
        result = attend(self, state, *rest)
        own.copy_(before)
        return result

    monkeypatch.setattr(AncestralCpu, "attend_source", of_neighbours)
    assert "differ" in str(_tried(loaded("translation", name), layout_of(name)))


def test_a_bias_that_is_forgotten_is_noticed(loaded: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    attend = AncestralCpu.attend

    def forgetful(self: Any, state: Any, pages: Any, shape: Any, layer: Any) -> Any:
        object.__setattr__(layer, "bias", None)
        return attend(self, state, pages, shape, layer)

    monkeypatch.setattr(AncestralCpu, "attend", forgetful)
    assert "differ" in str(_tried(loaded("translation", "t5"), layout_of("t5")))


def test_a_layout_that_a_model_counts_wrong_in_is_noticed(loaded: Loader) -> None:
    check = partial(_tried, loaded("translation", "bart"))
    assert check(Layout.ROWS) is not None
    assert check(Layout.PACKED) is None


def test_an_encoder_that_looks_at_padding_is_noticed(loaded: Loader, monkeypatch: pytest.MonkeyPatch) -> None:
    """W4: sources are read together, so a shorter one is padded."""
    encode = EncoderDecoderForward.encode
    monkeypatch.setattr(
        EncoderDecoderForward, "encode", lambda self, ids, mask: encode(self, ids, mask.new_ones(mask.shape))
    )
    assert "differ" in str(_tried(loaded("translation", "bart"), layout_of("bart")))
