"""Decoder-only models whose layers attend, and are all alike: the popular ones."""

from __future__ import annotations

from tests.zoo.entry import Entry, generation

_GPT2 = "gpt2: no pad, the end is the beginning"
_LLAMA2 = "llama2: byte fallback, begins with BOS, no pad"
_LLAMA3 = "llama3: begins with BOS, no pad"
_QWEN = "qwen: no BOS"
_GEMMA = "gemma: byte fallback, pad is 0, pads on the left"
_BLOOM = "bloom: nothing added, pads on the left"
_OPT = "opt: begins with the end token"
_SPM = "characters unknown"
#: Of a size of head of 8: a switch at 32 tokens, which the longer documents cross, some while they decode.
_LONGROPE = {
    "rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0, 1.0, 1.1, 1.2],
    "long_factor": [1.0, 1.5, 2.5, 6.0], "original_max_position_embeddings": 32,
}  # fmt: skip
_DYNAMIC = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}
_PROMISED = {"is_promised": True}
_BOTH = {"is_promised": True, "is_quick": True}

DECODERS: tuple[Entry, ...] = (
    generation("GPT-2", "GPT2LMHeadModel", _GPT2, **_BOTH),
    generation("GPT-2, one end token", "GPT2LMHeadModel", _GPT2, ends_every=0),
    generation("GPT-2, no special token at all", "GPT2LMHeadModel", "bytes without any special token"),
    generation("GPT-2, WordPiece", "GPT2LMHeadModel", "bert"),
    generation("GPT-2, whole words, no end token", "GPT2LMHeadModel", "words: no end token", ends_every=0),
    generation("GPT-2, scores scaled by layer", "GPT2LMHeadModel", _GPT2,
               {"scale_attn_by_inverse_layer_idx": True, "reorder_and_upcast_attn": True}),
    generation("Llama 2", "LlamaForCausalLM", _LLAMA2, **_BOTH),
    generation("Llama 3", "LlamaForCausalLM", _LLAMA3, {
        "rope_parameters": {"rope_type": "llama3", "rope_theta": 500.0, "factor": 8.0, "low_freq_factor": 1.0,
                            "high_freq_factor": 4.0, "original_max_position_embeddings": 32},
        "tie_word_embeddings": True}, **_PROMISED),
    generation("Llama, linear rope", "LlamaForCausalLM", _LLAMA3,
               {"rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}}),
    generation("Llama, yarn", "LlamaForCausalLM", _LLAMA3, {
        "rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 8.0,
                            "original_max_position_embeddings": 32}}),
    generation("Llama, dynamic NTK rope crossed", "LlamaForCausalLM", _LLAMA3,
               {"rope_parameters": _DYNAMIC, "max_position_embeddings": 32}),
    generation("Llama, longrope crossed", "LlamaForCausalLM", _LLAMA3, {"rope_parameters": _LONGROPE}),
    generation("Llama, Unigram", "LlamaForCausalLM", "xlm-roberta"),
    generation("Llama 4, chunks crossed", "Llama4ForCausalLM", _LLAMA3, {
        "num_hidden_layers": 4, "attention_chunk_size": 16, "no_rope_layer_interval": 2,
        "intermediate_size_mlp": 48, "num_experts_per_tok": 1, "floor_scale": 8}, **_BOTH),
    generation("Qwen 2", "Qwen2ForCausalLM", _QWEN, **_PROMISED),
    generation("Qwen 2, window crossed", "Qwen2ForCausalLM", _QWEN,
               {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1}, **_PROMISED),
    generation("Qwen 2 MoE", "Qwen2MoeForCausalLM", _QWEN, {"shared_expert_intermediate_size": 24}),
    generation("Qwen 3", "Qwen3ForCausalLM", _QWEN, **_BOTH),
    generation("Qwen 3 MoE", "Qwen3MoeForCausalLM", _QWEN),
    generation("Mistral, window crossed", "MistralForCausalLM", _LLAMA2, {"sliding_window": 8}, **_BOTH),
    generation("Mistral, no window", "MistralForCausalLM", _LLAMA2, {"sliding_window": None}, **_PROMISED),
    generation("Ministral, window in some layers", "MinistralForCausalLM", _LLAMA2,
               {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}),
    generation("Mixtral", "MixtralForCausalLM", _LLAMA2, **_PROMISED),
    generation("Mixtral, window crossed", "MixtralForCausalLM", _LLAMA2, {"sliding_window": 16}, **_BOTH),
    generation("Phi 3", "Phi3ForCausalLM", _LLAMA2, {"sliding_window": None}, **_PROMISED),
    generation("Phi 3, window crossed", "Phi3ForCausalLM", _LLAMA2, {"sliding_window": 9}, **_PROMISED),
    generation("Phi 3.5, longrope crossed", "Phi3ForCausalLM", _LLAMA2,
               {"rope_parameters": _LONGROPE, "original_max_position_embeddings": 32}, **_BOTH),
    generation("Phi 4 mini, longrope crossed, part of a head", "Phi3ForCausalLM", _QWEN, {
        "rope_parameters": {**_LONGROPE, "partial_rotary_factor": 0.75,
                            "short_factor": [1.0, 1.0, 1.2], "long_factor": [1.0, 2.0, 6.0]},
        "original_max_position_embeddings": 32, "tie_word_embeddings": True}, **_PROMISED),
    generation("Phi", "PhiForCausalLM", _GPT2, {"num_key_value_heads": 4}),
    generation("PhiMoE, window crossed", "PhimoeForCausalLM", _LLAMA2, {"sliding_window": 16}, is_quick=True),
    generation("Gemma", "GemmaForCausalLM", _GEMMA),
    generation("Gemma 2, soft caps, window crossed", "Gemma2ForCausalLM", _GEMMA,
               {"sliding_window": 8, "attn_logit_softcapping": 5.0, "query_pre_attn_scalar": 8}, **_BOTH),
    generation("Gemma 3, window crossed", "Gemma3ForCausalLM", _GEMMA, {
        "sliding_window": 8, "num_hidden_layers": 3, "query_pre_attn_scalar": 8,
        "layer_types": ["sliding_attention", "sliding_attention", "full_attention"]}, **_BOTH),
    generation("Gemma 4, sizes of heads by layer", "Gemma4ForCausalLM", _GEMMA, {
        "sliding_window": 8, "num_hidden_layers": 3, "global_head_dim": 16, "vocab_size_per_layer_input": 556,
        "hidden_size_per_layer_input": 8, "num_kv_shared_layers": 0,
        "layer_types": ["sliding_attention", "sliding_attention", "full_attention"]}),
    generation("OLMo", "OlmoForCausalLM", _QWEN, {"clip_qkv": 4.0}, **_PROMISED),
    generation("OLMo 2", "Olmo2ForCausalLM", _QWEN, **_PROMISED),
    generation("OLMo 3, window crossed", "Olmo3ForCausalLM", _QWEN, {
        "sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}, **_PROMISED),
    generation("OLMoE", "OlmoeForCausalLM", _QWEN),
    generation("Falcon, alibi", "FalconForCausalLM", _GPT2,
               {"alibi": True, "new_decoder_architecture": False, "multi_query": False}, **_BOTH),
    generation("Falcon, one key head, parallel", "FalconForCausalLM", _GPT2,
               {"multi_query": True, "parallel_attn": True}, **_PROMISED),
    generation("Falcon, new architecture", "FalconForCausalLM", _GPT2,
               {"new_decoder_architecture": True, "num_kv_heads": 2}, **_PROMISED),
    generation("GPT-NeoX", "GPTNeoXForCausalLM", _GPT2, **_BOTH),
    generation("OPT", "OPTForCausalLM", _OPT, **_BOTH),
    generation("OPT, norms after", "OPTForCausalLM", _OPT, {
        "do_layer_norm_before": False, "word_embed_proj_dim": 16}, looks_closely=True, **_PROMISED),
    generation("BLOOM", "BloomForCausalLM", _BLOOM, **_BOTH),
    generation("MPT, alibi", "MptForCausalLM", _GPT2, is_quick=True),
    generation("GPT-J", "GPTJForCausalLM", _GPT2, {"rotary_dim": 4}),
    generation("GPT-Neo, local attention crossed", "GPTNeoForCausalLM", _GPT2,
               {"attention_types": [[["global", "local"], 1]], "window_size": 8}, is_quick=True),
    generation("GPT BigCode", "GPTBigCodeForCausalLM", _GPT2),
    generation("CodeGen", "CodeGenForCausalLM", _GPT2, {"rotary_dim": 4}),
    generation("StarCoder 2, window crossed", "Starcoder2ForCausalLM", _GPT2, {"sliding_window": 8}),
    generation("StableLM", "StableLmForCausalLM", _GPT2),
    generation("Cohere", "CohereForCausalLM", _SPM),
    generation("Cohere 2, window crossed", "Cohere2ForCausalLM", _SPM, {
        "sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}),
    generation("Persimmon", "PersimmonForCausalLM", _SPM),
    generation("Granite", "GraniteForCausalLM", _QWEN, {"embedding_multiplier": 2.0, "logits_scaling": 2.0}),
    generation("SmolLM 3", "SmolLM3ForCausalLM", _QWEN, {"no_rope_layer_interval": 2}),
    generation("GLM 4", "Glm4ForCausalLM", _QWEN),
    generation("Nemotron", "NemotronForCausalLM", _SPM),
    generation("EXAONE 4, window crossed", "Exaone4ForCausalLM", _QWEN, {
        "sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}),
    generation("Helium", "HeliumForCausalLM", _SPM),
    generation("ERNIE 4.5", "Ernie4_5ForCausalLM", _LLAMA2),
    generation("HunYuan", "HunYuanDenseV1ForCausalLM", _QWEN),
    generation("Seed-OSS", "SeedOssForCausalLM", _QWEN),
    generation("Arcee", "ArceeForCausalLM", _LLAMA3),
    generation("Apertus", "ApertusForCausalLM", _LLAMA3),
)  # fmt: skip
