"""What is found out at loading: whom the decoding engine serves, and how far."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from transformers import XGLMConfig, XGLMForCausalLM

from models.decoding.attention.reference import ReferenceAttention
from models.decoding.factory import build_program, paged_core
from models.decoding.parameters.prompt import Prompt
from models.decoding.proving import probe
from models.decoding.proving.probe import Verdict, prove
from models.decoding.scheduling.scheduler import Limits
from models.loading.registry import LoadedModel
from models.proving.reference import Reference
from tests.support.paged import TIGHT
from tests.support.tiny_models import Loader


def _prove(model: LoadedModel, limits: Limits = TIGHT) -> Verdict:
    return prove(model, Reference(model), build_program(model, limits, by="reference"), limits)


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen", "mistral"])
def test_a_model_that_comes_out_right_is_served_at_every_length(name: str, loaded: Loader) -> None:
    assert _prove(loaded("generation", name)) == Verdict(TIGHT.max_entries)


def test_an_attention_that_forgets_the_window_is_noticed(
    loaded: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W7: a window that the engine does not see agrees up to its length and not beyond."""
    attend = ReferenceAttention.attend

    def forgetful(self, state, pages, shape, layer):  # type: ignore[no-untyped-def]
        object.__setattr__(layer, "window", 0)
        return attend(self, state, pages, shape, layer)

    monkeypatch.setattr(ReferenceAttention, "attend", forgetful)
    verdict = _prove(loaded("generation", "mistral"))
    assert verdict.proven_tokens == 0
    assert verdict.why is not None
    assert "otherwise" in verdict.why


@contextmanager
def _configured(model: LoadedModel, **more: object) -> Iterator[None]:
    """A configuration that names something else, for as long as it lasts."""
    before = {name: getattr(model.config, name, None) for name in more}
    for name, value in more.items():
        setattr(model.config, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(model.config, name, value)


def test_a_rope_that_looks_at_the_longest_of_all_is_served_up_to_where_it_changes(loaded: Loader) -> None:
    """W6: it changes with the length, for everybody in the step, and reads on the host: no graph does."""
    model = loaded("generation", "llama")
    rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10000.0}
    with _configured(model, rope_parameters=rope, max_position_embeddings=100):
        verdict = _prove(model)
    why = "beyond max_position_embeddings=100 documents would change each other"
    assert verdict == Verdict(100, why, is_eager=True)


def test_a_window_too_long_to_be_crossed_bounds_what_is_served(
    loaded: Loader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Longer documents go by another way, and the reason is told."""
    monkeypatch.setattr(probe, "_LONGEST_TRIED", 50)
    model = loaded("generation", "gpt2")
    with _configured(model, attention_window=100):
        verdict = _prove(model)
    assert verdict == Verdict(100, "beyond attention_window=100 nothing is proven")


def test_a_model_whose_own_code_computes_attention_is_not_served(loaded: Loader) -> None:
    config = XGLMConfig(vocab_size=400, d_model=32, ffn_dim=48, num_layers=1, attention_heads=4)
    model = replace(loaded("generation", "gpt2"), model=XGLMForCausalLM(config).eval())
    core, verdict = paged_core(model, Reference(model), TIGHT)
    assert core is None
    assert verdict == Verdict(0, "not served: attention that its own code computes")


def test_what_was_proven_bounds_what_the_core_serves(loaded: Loader) -> None:
    model = loaded("generation", "gpt2")
    core, verdict = paged_core(model, Reference(model), TIGHT, proof=lambda *_: Verdict(60, "so far"))
    assert core is not None
    assert verdict.why == "so far"
    assert core.serves(Prompt(input_ids=[5] * 21, max_new_tokens=40, params={}))
    assert not core.serves(Prompt(input_ids=[5] * 22, max_new_tokens=40, params={}))
