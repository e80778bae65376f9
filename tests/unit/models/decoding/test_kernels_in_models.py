"""Models whose scores are more than products, through the engine on Triton's kernels, by its interpreter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers as hf

from models.decoding.factory import build_program
from models.decoding.proving.probe import Verdict, prove
from models.decoding.scheduling.scheduler import Limits
from models.proving.reference import Reference
from tests.support.tiny_models import Loader

_FEW = Limits(max_rows=2, num_pages=9, max_entries=44, chunk_sizes=(8, 24), max_begun=2)
_SIZES: dict[str, Any] = {
    "vocab_size": 100, "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
}  # fmt: skip
_EXPERTS: dict[str, Any] = {"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}


def _gemma_2() -> hf.PreTrainedModel:
    return hf.Gemma2ForCausalLM(
        hf.Gemma2Config(
            **_SIZES, head_dim=8, query_pre_attn_scalar=8, sliding_window=8, attn_logit_softcapping=2.0,
            final_logit_softcapping=None,
        )
    )  # fmt: skip


def _gpt_oss() -> hf.PreTrainedModel:
    return hf.GptOssForCausalLM(
        hf.GptOssConfig(**_SIZES, head_dim=8, sliding_window=8, num_local_experts=4, num_experts_per_tok=2)
    )


def _deepseek_v3() -> hf.PreTrainedModel:
    sizes = {**_SIZES, "num_key_value_heads": 4, **_EXPERTS, "n_group": 2, "topk_group": 1}
    return hf.DeepseekV3ForCausalLM(
        hf.DeepseekV3Config(
            **sizes, kv_lora_rank=16, q_lora_rank=12, qk_nope_head_dim=8, qk_rope_head_dim=4, v_head_dim=6,
            first_k_dense_replace=2,
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    "make", [_gemma_2, _gpt_oss, _deepseek_v3], ids=["gemma-2", "gpt-oss", "deepseek-v3"]
)
def test_soft_caps_sinks_and_latents_come_out_by_the_kernels(
    make: Callable[[], hf.PreTrainedModel], loaded: Loader
) -> None:
    """Prompts in chunks and together, across a window, and twenty tokens after each."""
    pytest.importorskip("triton")
    made = make()
    stream = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if parameter.dim() > 1 or "sinks" in name:
                parameter.normal_(0.0, 0.4, generator=stream)
    model = replace(loaded("generation", "gpt2"), model=made.eval())
    program = build_program(model, _FEW, by="triton")
    program.forward.leave_plain()  # fused kernels have tests of their own
    assert prove(model, Reference(model), program, _FEW) == Verdict(_FEW.max_entries)
