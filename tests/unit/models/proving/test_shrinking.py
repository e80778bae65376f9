"""A window made small for a while is small wherever the model keeps it, and afterwards as before."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers as hf

from models.proving.shrinking import Shrinking
from models.proving.switches import find_switches
from tests.support.tiny_encoders import tiny


@pytest.mark.parametrize(
    ("kind", "settings", "small"),
    [
        ("longformer", {"attention_window": [64, 64]}, {"attention_window": [4, 4]}),
        ("modernbert", {"local_attention": 32}, {"local_attention": 4}),
        ("canine", {"local_transformer_stride": 16}, {"local_transformer_stride": 4}),
        (
            "deberta",
            {"position_buckets": 16, "pos_att_type": ["c2p", "p2c"]},
            {"position_buckets": 4, "pos_att_type": ["c2p", "p2c"]},
        ),
        ("mistral", {"sliding_window": 32}, {"sliding_window": 4}),
        ("xlnet", {"clamp_len": 30}, {"clamp_len": 4}),
    ],
)
def test_a_model_made_small_says_what_one_built_small_says(
    kind: str, settings: dict[str, Any], small: dict[str, Any]
) -> None:
    """Longformer keeps half of its window, ModernBERT half and one: found by their own constructors."""
    model, built = tiny(kind, "sentiment", **settings).model, tiny(kind, "sentiment", **small).model
    built.load_state_dict(_fitting(model, built), strict=False)
    (switch,) = find_switches(model.config.to_dict())
    ids = torch.arange(20, 62)[None]
    with torch.inference_mode():
        before = model(ids).logits
        with Shrinking(model, switch, 4).in_force():
            shrunk = model(ids).logits
        assert torch.equal(model(ids).logits, before)
        assert torch.equal(shrunk, built(ids).logits)
    assert not torch.equal(shrunk, before)


def _fitting(model: Any, built: Any) -> dict[str, torch.Tensor]:
    """Weights for the one built small: a smaller table has the first rows of the larger."""
    own = built.state_dict()
    return {name: value[: len(own[name])] for name, value in model.state_dict().items() if value.dim()}


def test_tables_that_have_the_window_in_them_are_made_small_too() -> None:
    config = {
        "hidden_size": 16,
        "num_layers": 2,
        "num_heads": 2,
        "max_position_embeddings": 64,
        "vocab_size": 90,
    }
    kinds = {"attention_types": [[["global", "local"], 1]], "window_size": 32}
    torch.manual_seed(0)
    model = hf.GPTNeoForCausalLM(hf.GPTNeoConfig(**config, **kinds)).eval()
    built = hf.GPTNeoForCausalLM(hf.GPTNeoConfig(**config, **{**kinds, "window_size": 4})).eval()
    built.load_state_dict(model.state_dict())
    (switch,) = find_switches(model.config.to_dict())
    ids = torch.arange(20, 60)[None]
    with torch.inference_mode(), Shrinking(model, switch, 4).in_force():
        assert torch.equal(model(ids).logits, built(ids).logits)


def test_a_model_is_built_again_without_memory_for_its_weights() -> None:
    config = hf.MistralConfig(
        hidden_size=8192,
        intermediate_size=65536,
        num_hidden_layers=16,
        num_attention_heads=8,
        sliding_window=64,
    )
    with torch.device("meta"):  # 30 thousand million parameters: none of them is ever there
        model = hf.MistralForCausalLM(config)
    (switch,) = find_switches(config.to_dict())
    with Shrinking(model, switch, 4).in_force():
        assert model.config.sliding_window == 4
    assert model.config.sliding_window == 64
