"""Models whose own code computes attention, by pages: against their own plain forward pass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers as hf

from models.decoding.attention.interface import attending
from models.decoding.factory import build_program, paged_core
from models.decoding.proving.probe import TOLERANCE, Verdict, prove
from models.loading.registry import LoadedModel
from models.proving.reference import Reference
from tests.support.paged import TIGHT
from tests.support.tape import expect_one_program_for_each_shape
from tests.support.tiny_models import Loader

_EXACT = replace(TIGHT, is_exact=True)
_VOCABULARY = 300
_LATENT: dict[str, Any] = {
    "vocab_size": _VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 4, "max_position_embeddings": 128, "kv_lora_rank": 16,
    "q_lora_rank": 12, "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 6,
}  # fmt: skip
_EXPERTS: dict[str, Any] = {
    "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 2, "topk_group": 1, "moe_intermediate_size": 16,
    "first_k_dense_replace": 1,
}  # fmt: skip


def _falcon(**more: Any) -> hf.PreTrainedModel:
    config = hf.FalconConfig(
        vocab_size=_VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, **more
    )
    return hf.FalconForCausalLM(config)


def _bloom(heads: int) -> hf.PreTrainedModel:
    config = hf.BloomConfig(vocab_size=_VOCABULARY, hidden_size=8 * heads, n_layer=2, n_head=heads)
    return hf.BloomForCausalLM(config)


def _mpt(heads: int, **attention: Any) -> hf.PreTrainedModel:
    config = hf.MptConfig(
        vocab_size=_VOCABULARY,
        d_model=8 * heads,
        n_layers=2,
        n_heads=heads,
        max_seq_len=128,
        attn_config=attention,
    )
    return hf.MptForCausalLM(config)


def _gpt_neo() -> hf.PreTrainedModel:
    config = hf.GPTNeoConfig(
        vocab_size=_VOCABULARY, hidden_size=32, num_layers=2, num_heads=4, max_position_embeddings=128,
        attention_types=[[["global", "local"], 1]], window_size=8,
    )  # fmt: skip
    return hf.GPTNeoForCausalLM(config)


#: A number of heads that is no power of two has slopes of another kind.
_MODELS: dict[str, Callable[[], hf.PreTrainedModel]] = {
    "falcon": lambda: _falcon(new_decoder_architecture=False, multi_query=False),
    "falcon-one-key-head": lambda: _falcon(multi_query=True),
    "falcon-new": lambda: _falcon(new_decoder_architecture=True, num_kv_heads=2),
    "bloom": lambda: _bloom(4),
    "bloom-six-heads": lambda: _bloom(6),
    "mpt": lambda: _mpt(4),
    "mpt-six-heads-clipped-scaled": lambda: _mpt(6, clip_qkv=0.8, softmax_scale=0.2, alibi_bias_max=8),
    "gpt-neo": _gpt_neo,
    "deepseek-v2": lambda: hf.DeepseekV2ForCausalLM(hf.DeepseekV2Config(**_LATENT, **_EXPERTS)),
    "deepseek-v3": lambda: hf.DeepseekV3ForCausalLM(hf.DeepseekV3Config(**_LATENT, **_EXPERTS)),
    "glm-4-moe-lite": lambda: hf.Glm4MoeLiteForCausalLM(hf.Glm4MoeLiteConfig(**_LATENT, **_EXPERTS)),
    "minicpm-3": lambda: hf.MiniCPM3ForCausalLM(hf.MiniCPM3Config(**_LATENT)),
    "mistral-4": lambda: hf.Mistral4ForCausalLM(hf.Mistral4Config(**_LATENT, **_EXPERTS)),
    "youtu": lambda: hf.YoutuForCausalLM(hf.YoutuConfig(**_LATENT)),
}


def _lively(model: hf.PreTrainedModel) -> hf.PreTrainedModel:
    """Weights with which it matters what a token sees."""
    stream = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.4, generator=stream)
    return model.eval()


def _around(model: hf.PreTrainedModel, loaded: Loader, **more: Any) -> LoadedModel:
    for config in (model.config, model.generation_config):  # some name an end beyond this vocabulary
        config.eos_token_id = 5
    return replace(loaded("generation", "gpt2"), model=model, **more)


@pytest.mark.parametrize("name", list(_MODELS))
def test_what_its_own_code_computes_comes_out_by_pages(name: str, loaded: Loader) -> None:
    """Prompts in chunks, of several pages and in company, and twenty tokens after each."""
    model = _around(_lively(_MODELS[name]()), loaded)
    program = build_program(model, _EXACT, by="cpu")
    assert prove(model, Reference(model), program, _EXACT) == Verdict(_EXACT.max_entries)


@pytest.mark.parametrize("name", ["bloom", "mpt", "falcon-new", "gpt-neo", "deepseek-v2", "deepseek-v3"])
def test_it_comes_out_by_the_pass_that_graphs_are_made_of(name: str, loaded: Loader) -> None:
    """The packed pass of CUDA, with attention by torch."""
    model = _around(_lively(_MODELS[name]()), loaded)
    program = build_program(model, TIGHT, by="reference")
    assert prove(model, Reference(model), program, TIGHT) == Verdict(TIGHT.max_entries)


@pytest.mark.parametrize("name", ["bloom", "mpt", "falcon-new", "gpt-neo", "deepseek-v2", "deepseek-v3"])
def test_its_steps_can_be_captured(name: str, loaded: Loader) -> None:
    expect_one_program_for_each_shape(_around(_lively(_MODELS[name]()), loaded))


@pytest.mark.parametrize("name", ["bloom", "mpt", "falcon-new", "gpt-neo", "deepseek-v3"])
def test_a_model_is_as_it_was_when_our_steps_have_run(name: str, loaded: Loader) -> None:
    model = _lively(_MODELS[name]())
    before = {id(module): set(vars(module)) for module in model.modules()}
    ids = torch.arange(20)[None]
    with torch.inference_mode():
        plain = model(input_ids=ids, use_cache=False).logits
        with attending(model):
            assert any(set(vars(module)) != before[id(module)] for module in model.modules())
        assert all(set(vars(module)) == before[id(module)] for module in model.modules())
        assert torch.equal(model(input_ids=ids, use_cache=False).logits, plain)


@pytest.mark.parametrize(
    "model",
    [
        lambda: _falcon(alibi=True, new_decoder_architecture=False, multi_query=False),
        lambda: _bloom(4).bfloat16(),
    ],
    ids=["falcon", "bloom in bfloat16"],
)
def test_slopes_that_a_model_rounds_with_their_positions_are_refused(
    model: Callable[[], hf.PreTrainedModel], loaded: Loader
) -> None:
    """Beyond 256 positions bfloat16 has no whole numbers: short texts would agree, and long ones not."""
    other = _around(_lively(model()), loaded)
    core, verdict = paged_core(other, Reference(other), _EXACT)
    assert core is None
    assert verdict == Verdict(0, "not served: slopes that are rounded with their positions")


def test_slopes_count_in_these_tests(loaded: Loader) -> None:
    """Without them, the tiny models would come out otherwise."""
    model = _lively(_bloom(4))
    ids = torch.arange(40)[None]
    with torch.inference_mode():
        right = model(input_ids=ids, use_cache=False).logits
        flat = model.transformer.build_alibi_tensor(torch.ones(1, 40), 4, torch.float32) * 0
        model.transformer.build_alibi_tensor = lambda *_, **__: flat
        mask = torch.ones(1, 40, dtype=torch.long)
        other = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    spread = (right - right.mean(-1, keepdim=True)).norm(dim=-1)
    assert float(((other - right).norm(dim=-1) / spread).max()) > 10 * TOLERANCE["float32"]
