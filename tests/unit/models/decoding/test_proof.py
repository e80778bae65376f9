"""Every architecture is decoded right: continuously as far as that is proven, else by a slower way."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import transformers as hf

from models.decoding.parameters.prompt import Decoded
from models.decoding.proving import proof
from models.errors import CannotLoad
from models.loading.device import Device
from models.proving.reference import Reference
from models.records import DocumentInput
from models.tasks.decoding_core import decoding_core
from models.tasks.generation import GenerationEngine
from tests.support.decoding import is_same
from tests.support.engines import drain
from tests.support.random_models import (
    BOS,
    DECODER,
    ENCODER_DECODER,
    EOS,
    NUM_TOKENS,
    PAD,
    alone,
    decode_all,
    load_random,
    random_documents,
    save_random,
)
from tests.support.tiny_models import WORDS

_HALF = 4  # of the head size: frequencies of a rope
_LONGROPE = {
    "rope_type": "longrope", "rope_theta": 10_000.0, "factor": 4.0, "short_factor": [1.0] * _HALF,
    "long_factor": [4.0] * _HALF, "original_max_position_embeddings": 24,
}  # fmt: skip
_MLA = {
    "num_key_value_heads": 4, "q_lora_rank": 16, "kv_lora_rank": 16, "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8, "v_head_dim": 8, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1,
    "topk_group": 1, "moe_intermediate_size": 16, "first_k_dense_replace": 1,
}  # fmt: skip
_DECODER_OF_BART = {
    name: value for name, value in ENCODER_DECODER.items() if not name.startswith("encoder")
} | {"is_decoder": True, "is_encoder_decoder": False}


def _decoder(**more: Any) -> dict[str, Any]:
    return {**DECODER, **more}


#: name -> class of the configuration, class of the model, settings, facts that are expected
_MODELS: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    # W7: windows and chunks that the model puts into its mask alone
    "phimoe": (
        "PhimoeConfig", "PhimoeForCausalLM", _decoder(sliding_window=16, num_local_experts=2),
        {"way": "continuous", "proven_tokens": 16},
    ),
    "llama4": (
        "Llama4TextConfig", "Llama4ForCausalLM",
        _decoder(attention_chunk_size=16, num_local_experts=2, intermediate_size_mlp=48, head_dim=8),
        {"way": "continuous", "proven_tokens": 16},
    ),
    "moshi": (
        "MoshiConfig", "MoshiForCausalLM", _decoder(sliding_window=16, ffn_dim=48),
        {"way": "continuous", "proven_tokens": 16},
    ),
    # W6: ropes that go over to other frequencies
    "phi3-longrope": (
        "Phi3Config", "Phi3ForCausalLM",
        _decoder(rope_parameters=_LONGROPE, original_max_position_embeddings=24),
        {"way": "continuous", "proven_tokens": 24},
    ),
    "llama-longrope": (
        "LlamaConfig", "LlamaForCausalLM", _decoder(rope_parameters=_LONGROPE),
        {"way": "continuous", "proven_tokens": 24},
    ),
    "llama-dynamic": (
        "LlamaConfig", "LlamaForCausalLM",
        _decoder(
            max_position_embeddings=24,
            rope_parameters={"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 4.0},
        ),
        {"way": "continuous", "proven_tokens": 24},
    ),
    # windows that the engine keeps to
    "gemma3": (
        "Gemma3TextConfig", "Gemma3ForCausalLM",
        _decoder(sliding_window=16, head_dim=8, layer_types=["sliding_attention", "full_attention"]),
        {"way": "continuous"},
    ),
    # heads of another size in each kind of layer: it did not load
    "gemma4": (
        "Gemma4TextConfig", "Gemma4ForCausalLM",
        _decoder(
            head_dim=8, global_head_dim=16, sliding_window=16, hidden_size_per_layer_input=8,
            layer_types=["sliding_attention", "full_attention"], vocab_size_per_layer_input=NUM_TOKENS,
            num_kv_shared_layers=0,
        ),
        {"way": "continuous"},
    ),
    # soft caps and sinks
    "gemma2": (
        "Gemma2Config", "Gemma2ForCausalLM",
        _decoder(
            sliding_window=16, head_dim=8, query_pre_attn_scalar=8, attn_logit_softcapping=2.0,
            final_logit_softcapping=5.0, layer_types=["sliding_attention", "full_attention"],
        ),
        {"way": "continuous"},
    ),
    "gpt-oss": (
        "GptOssConfig", "GptOssForCausalLM",
        _decoder(
            sliding_window=16, head_dim=8, num_local_experts=2, num_experts_per_tok=1,
            layer_types=["sliding_attention", "full_attention"],
        ),
        {"way": "continuous"},
    ),
    # where padding is not neutral, which is case W4
    "rwkv": (
        "RwkvConfig", "RwkvForCausalLM", _decoder(context_length=512, attention_hidden_size=32),
        {"way": "one at a time"},
    ),
    "cpmant": (
        "CpmAntConfig", "CpmAntForCausalLM",
        _decoder(
            dim_head=8, dim_ff=48, prompt_length=4, segment_types=32, prompt_types=32,
            position_bias_num_buckets=32, position_bias_max_distance=64,
        ),
        {"way": "batches of equal length"},
    ),
    "xlm": (
        "XLMConfig", "XLMWithLMHeadModel",
        {"emb_dim": 32, "n_layers": 2, "n_heads": 4, "n_words": NUM_TOKENS, "bos_index": BOS,
         "eos_index": EOS, "pad_index": PAD, "bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": PAD},
        {"way": "batches of equal length"},
    ),
    "xlnet": (
        "XLNetConfig", "XLNetLMHeadModel",
        {"vocab_size": NUM_TOKENS, "d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 48,
         "bos_token_id": BOS, "eos_token_id": EOS, "pad_token_id": PAD},
        {"way": "batches of equal length"},
    ),
    "mvp": ("MvpConfig", "MvpForCausalLM", _DECODER_OF_BART, {"way": "batches of equal length"}),
    "trocr": ("TrOCRConfig", "TrOCRForCausalLM", _DECODER_OF_BART, {"way": "batches of equal length"}),
    "git": (
        "GitConfig", "GitForCausalLM",
        _decoder(
            vision_config={
                "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                "image_size": 8, "patch_size": 4,
            }
        ),
        {"way": "batches of equal length"},
    ),
    "recurrentgemma": (
        "RecurrentGemmaConfig", "RecurrentGemmaForCausalLM",
        _decoder(
            attention_window_size=16, lru_width=32, block_types=["recurrent", "attention"],
            num_key_value_heads=1,
        ),
        {"way": "batches of equal length"},
    ),
    "deepseek-v3.2": (
        "DeepseekV32Config", "DeepseekV32ForCausalLM",
        _decoder(**_MLA, index_topk=8, index_n_heads=2, index_head_dim=16),
        {"way": "batches of equal length"},
    ),
    "glm-dsa": (
        "GlmMoeDsaConfig", "GlmMoeDsaForCausalLM",
        _decoder(**_MLA, index_topk=8, index_n_heads=2, index_head_dim=16),
        {"way": "batches of equal length"},
    ),
    "reformer": (
        "ReformerConfig", "ReformerModelWithLMHead",
        _decoder(
            is_decoder=True, axial_pos_shape=[16, 32], axial_pos_embds_dim=[16, 16], attention_head_size=8,
            attn_layers=["local", "lsh"], feed_forward_size=48, num_buckets=4, lsh_attn_chunk_length=16,
            local_attn_chunk_length=16, hidden_dropout_prob=0.0,
        ),
        {"way": "one at a time"},
    ),
    # sparse blocks, and a model that forgets for ever how to attend to them once a text was short
    "bigbird-pegasus": (
        "BigBirdPegasusConfig", "BigBirdPegasusForConditionalGeneration",
        {**ENCODER_DECODER, "block_size": 4, "num_random_blocks": 1, "attention_type": "block_sparse"},
        {"way": "batches of equal length"},
    ),
    # recurrent states beside attention
    "jamba": (
        "JambaConfig", "JambaForCausalLM",
        _decoder(
            num_experts=2, attn_layer_period=2, attn_layer_offset=1, mamba_d_state=8, use_mamba_kernels=False
        ),
        {"way": "batches"},
    ),
    "lfm2": (
        "Lfm2Config", "Lfm2ForCausalLM", _decoder(layer_types=["conv", "full_attention"]), {"way": "batches"},
    ),
}  # fmt: skip
_LONGEST = {"bigbird-pegasus": 70}


@pytest.mark.parametrize("name", list(_MODELS))
def test_documents_in_company_equal_each_alone(name: str, tmp_path: Path, cpu: Device) -> None:
    """W4, W6, W7: alone = transformers, in company = alone, with every window and switch crossed."""
    config_class, model_class, settings, facts = _MODELS[name]
    config = getattr(hf, config_class)(**settings)
    folder = save_random(tmp_path / "m", config, getattr(hf, model_class))
    loaded = load_random(folder, cpu)
    core = decoding_core(loaded)
    assert {fact: core.facts.get(fact) for fact in facts} == facts
    if facts["way"] != "continuous" or "proven_tokens" in facts:
        assert core.facts["why"]
    prompts = random_documents(loaded, 12, longest=_LONGEST.get(name, 40))
    plain = getattr(hf, model_class).from_pretrained(folder).eval()
    results = decode_all(core, prompts, at_once=len(prompts))
    assert _plainly(decode_all(core, prompts, at_once=3)) == _plainly(results)
    for place, prompt in enumerate(prompts):
        theirs, ours = alone(plain, prompt), results[place]
        if isinstance(theirs, Exception):  # RWKV has no beam search
            assert str(theirs) in str(ours)
            continue
        assert isinstance(ours, Decoded), ours
        assert is_same(ours, theirs, {PAD, EOS}), (prompt, theirs, ours)


def _plainly(results: dict[Any, Any]) -> dict[Any, Any]:
    """Two errors of the same words are not equal by themselves."""
    return {key: str(result) for key, result in results.items()}


@pytest.mark.parametrize(
    ("settings", "fact"),
    [
        ({"rope_parameters": {**_LONGROPE, "original_max_position_embeddings": 300}}, 300),
        (
            {
                "max_position_embeddings": 300,
                "rope_parameters": {"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 4.0},
            },
            300,
        ),
    ],
    ids=["longrope", "dynamic"],
)
def test_prompts_longer_than_a_chunk_and_a_ropes_switch_equal_each_alone(
    settings: dict[str, Any], fact: int, tmp_path: Path, cpu: Device
) -> None:
    """W6: a prompt of 400 tokens goes in chunks of 256, and the rope was chosen chunk by chunk."""
    folder = save_random(tmp_path / "m", hf.LlamaConfig(**_decoder(**settings)), hf.LlamaForCausalLM)
    loaded = load_random(folder, cpu)
    core = decoding_core(loaded)
    assert core.facts["proven_tokens"] == fact
    prompts = random_documents(loaded, 10, longest=450, parameters=[{"do_sample": False}])
    assert sum(len(prompt.input_ids) > fact for prompt in prompts) >= 2
    plain = hf.LlamaForCausalLM.from_pretrained(folder).eval()
    results = decode_all(core, prompts)
    for place, prompt in enumerate(prompts):
        theirs, ours = alone(plain, prompt), results[place]
        assert isinstance(theirs, list)
        assert isinstance(ours, Decoded)
        assert is_same(ours, theirs, {PAD, EOS})


@pytest.mark.parametrize(
    ("config", "model_class"),
    [
        (
            hf.ProphetNetConfig(
                vocab_size=NUM_TOKENS, hidden_size=32, num_encoder_layers=2, num_decoder_layers=2,
                num_encoder_attention_heads=4, num_decoder_attention_heads=4, encoder_ffn_dim=48,
                decoder_ffn_dim=48, decoder_start_token_id=EOS, eos_token_id=EOS, pad_token_id=PAD,
            ),
            hf.ProphetNetForConditionalGeneration,
        ),
    ],
    ids=["prophetnet"],
)  # fmt: skip
def test_a_model_whose_cache_is_broken_in_transformers_decodes_without_one(
    config: Any, model_class: Any, tmp_path: Path, cpu: Device
) -> None:
    """Every document failed."""
    folder = save_random(tmp_path / "m", config, model_class)
    loaded = load_random(folder, cpu)
    prompts = random_documents(loaded, 5, longest=12, parameters=[{"do_sample": False}])
    results = decode_all(decoding_core(loaded), prompts)
    plain = model_class.from_pretrained(folder).eval()
    for place, prompt in enumerate(prompts):
        theirs, ours = alone(plain, prompt, use_cache=False), results[place]
        assert isinstance(theirs, list)
        assert isinstance(ours, Decoded), ours
        assert is_same(ours, theirs, {PAD, EOS})


def test_a_prompt_beyond_the_positions_of_a_dynamic_rope_is_no_reason_to_refuse(
    tmp_path: Path, cpu: Device
) -> None:
    """W6: the rope exists to exceed `max_position_embeddings`."""
    rope = {"rope_type": "dynamic", "rope_theta": 10_000.0, "factor": 4.0}
    config = hf.LlamaConfig(**_decoder(max_position_embeddings=24, rope_parameters=rope))
    folder = save_random(tmp_path / "m", config, hf.LlamaForCausalLM)
    engine = GenerationEngine(load_random(folder, cpu))
    text = " ".join(WORDS[:30])
    outputs = drain(engine, [DocumentInput(key=0, text=text, params={"max_new_tokens": 5})])
    tokenizer = hf.AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text, return_tensors="pt")["input_ids"]
    assert ids.shape[1] > 24
    produced = hf.LlamaForCausalLM.from_pretrained(folder).eval().generate(ids, max_new_tokens=5)
    assert outputs[0].output is not None, outputs[0]
    assert outputs[0].output["text"] == tokenizer.decode(
        produced[0, ids.shape[1] :], skip_special_tokens=True
    )


@pytest.mark.parametrize("window", [100, 4096])
def test_a_window_too_long_to_try_is_proven_with_a_smaller_one(
    window: int, tmp_path: Path, cpu: Device
) -> None:
    config = hf.MistralConfig(**_decoder(sliding_window=window))
    loaded = load_random(save_random(tmp_path / "m", config, hf.MistralForCausalLM), cpu)
    core = decoding_core(loaded)
    assert dict(core.facts) == {"way": "continuous", "decoded_by": "textmill", "proven": True}
    assert loaded.config.sliding_window == window
    prompts = random_documents(loaded, 4, longest=150, parameters=[{"do_sample": False}], seed=2)
    results = decode_all(core, prompts)
    for place, prompt in enumerate(prompts):
        theirs, ours = (
            alone(hf.MistralForCausalLM.from_pretrained(loaded.spec.ref).eval(), prompt),
            results[place],
        )
        assert isinstance(ours, Decoded)
        assert isinstance(theirs, list)
        assert is_same(ours, theirs, {PAD, EOS})


def test_a_setting_that_changes_nothing_when_tried_proves_nothing(tmp_path: Path, cpu: Device) -> None:
    config = hf.LlamaConfig(**_decoder(attention_window=4096))
    core = decoding_core(load_random(save_random(tmp_path / "m", config, hf.LlamaForCausalLM), cpu))
    assert core.facts["proven_tokens"] == 4096
    assert "attention_window=4096" in core.facts["why"]


def test_what_was_proven_is_remembered(tmp_path: Path, cpu: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    config = hf.LlamaConfig(**_decoder(rope_theta=12_345.0))
    loaded = load_random(save_random(tmp_path / "m", config, hf.LlamaForCausalLM), cpu)
    facts = dict(decoding_core(loaded).facts)

    def refuse(*_: Any) -> None:
        raise AssertionError("tried again")

    monkeypatch.setattr(proof, "_Prover", refuse)
    assert dict(decoding_core(loaded).facts) == facts


def test_a_model_that_generate_itself_cannot_decode_is_refused_at_loading(
    tmp_path: Path, cpu: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = hf.LlamaConfig(**_decoder(rope_theta=54_321.0))
    loaded = load_random(save_random(tmp_path / "m", config, hf.LlamaForCausalLM), cpu)

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("not today")

    monkeypatch.setattr(Reference, "generate", refuse)
    with pytest.raises(CannotLoad, match="generate raised RuntimeError: not today"):
        decoding_core(loaded)


def test_trying_leaves_a_model_as_it_was(tmp_path: Path, cpu: Device) -> None:
    config = hf.Gemma3TextConfig(
        **_decoder(sliding_window=700, head_dim=8, layer_types=["sliding_attention", "full_attention"])
    )
    loaded = load_random(save_random(tmp_path / "m", config, hf.Gemma3ForCausalLM), cpu)
    before = copy.deepcopy(loaded.config.to_dict())
    attributes = [
        {name: value for name, value in vars(module).items() if isinstance(value, int | float | str)}
        for module in loaded.model.modules()
    ]
    decoding_core(loaded)
    assert loaded.config.to_dict() == before
    assert attributes == [
        {name: value for name, value in vars(module).items() if isinstance(value, int | float | str)}
        for module in loaded.model.modules()
    ]
