"""Layers packed for the processor compute what they did before."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import transformers as hf
from torch import nn

from models.loading.device import prepare_device
from models.loading.packing import PackedLinear, pack, packs

pytestmark = pytest.mark.skipif(
    not packs("bfloat16", prepare_device("cpu")), reason="this processor has no use for packed weights"
)

_SMALL = {"vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
_BART = {
    "vocab_size": 100, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64, "encoder_attention_heads": 4, "decoder_attention_heads": 4, "pad_token_id": 1,
}  # fmt: skip
#: By architecture: its class, its configuration, and how many of its layers compute an activation.
_MODELS: dict[str, tuple[Any, hf.PretrainedConfig, int]] = {
    "gpt2": (hf.GPT2LMHeadModel, hf.GPT2Config(vocab_size=100, n_embd=32, n_layer=2, n_head=4), 2),
    "gpt-j": (
        hf.GPTJForCausalLM,
        hf.GPTJConfig(vocab_size=100, n_embd=32, n_layer=2, n_head=4, rotary_dim=8),
        2,
    ),
    "gpt-neox": (hf.GPTNeoXForCausalLM, hf.GPTNeoXConfig(**_SMALL, intermediate_size=64), 2),
    # Its activation is multiplied with another product.
    "llama": (hf.LlamaForCausalLM, hf.LlamaConfig(**_SMALL, intermediate_size=64), 0),
    "marian": (hf.MarianMTModel, hf.MarianConfig(**_BART, activation_function="swish"), 4),
    "bart": (hf.BartForConditionalGeneration, hf.BartConfig(**_BART), 4),
    "bert": (hf.BertForSequenceClassification, hf.BertConfig(**_SMALL, intermediate_size=64), 2),
    "distilbert": (
        hf.DistilBertForSequenceClassification,
        hf.DistilBertConfig(vocab_size=100, dim=32, n_layers=2, n_heads=4, hidden_dim=64),
        2,
    ),
}


@pytest.mark.parametrize("name", _MODELS)
@torch.inference_mode()
def test_a_packed_model_says_what_the_plain_one_says(name: str) -> None:
    model_class, config, num_joined = _MODELS[name]
    torch.manual_seed(0)
    plain = model_class(config).eval()
    for parameter in plain.parameters():
        parameter.normal_(std=0.2)  # biases too, and scores far enough apart to see a difference
    packed = pack(copy.deepcopy(plain))
    ids = torch.randint(3, 100, (2, 9))
    inputs = {"input_ids": ids} | ({"decoder_input_ids": ids} if config.is_encoder_decoder else {})
    torch.testing.assert_close(packed(**inputs).logits, plain(**inputs).logits, rtol=1e-4, atol=1e-4)
    linears = [module for module in packed.modules() if isinstance(module, PackedLinear)]
    assert linears
    assert not any(type(module) is nn.Linear for module in packed.modules())
    assert sum(linear.activation[0] != "none" for linear in linears) == num_joined
