"""Decoder-only models with something of their own: sinks, latent attention, recurrent states, old tokenizers."""

from __future__ import annotations

from tests.zoo.entry import Entry, generation

_GPT2 = "gpt2: no pad, the end is the beginning"
_LLAMA2 = "llama2: byte fallback, begins with BOS, no pad"
_LLAMA3 = "llama3: begins with BOS, no pad"
_QWEN = "qwen: no BOS"
_SPM = "characters unknown"
_LATENT = {
    "kv_lora_rank": 16, "q_lora_rank": 16, "qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "v_head_dim": 6,
    "num_key_value_heads": 4, "n_group": 2, "topk_group": 1, "first_k_dense_replace": 1, "head_dim": 4,
}  # fmt: skip
_SPARSE = {
    **_LATENT,
    "v_head_dim": 8,
    "index_topk": 8,
    "index_head_dim": 8,
    "index_n_heads": 2,
}
_MAMBA = {
    "mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 16, "mamba_n_groups": 1, "mamba_chunk_size": 8,
    "mamba_expand": 2,
}  # fmt: skip

MORE_DECODERS: tuple[Entry, ...] = (
    generation("gpt-oss, sinks, window crossed", "GptOssForCausalLM", _LLAMA3, {
        "sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}, is_quick=True),
    generation("MiMo-V2, sinks", "MiMoV2FlashForCausalLM", _QWEN, {"sliding_window": 8}),
    generation("DeepSeek V2, latent attention", "DeepseekV2ForCausalLM", _LLAMA3, _LATENT),
    generation("DeepSeek V3, latent attention", "DeepseekV3ForCausalLM", _LLAMA3, _LATENT, is_quick=True),
    generation("DeepSeek V3.2, sparse attention crossed", "DeepseekV32ForCausalLM", _LLAMA3, _SPARSE),
    generation("GLM 5, sparse attention crossed", "GlmMoeDsaForCausalLM", _QWEN, {
        **_SPARSE, "n_group": 1, "qk_nope_head_dim": 4}),
    generation("HY-v4, sparse attention crossed", "HYV4ForCausalLM", _QWEN, {
        **_SPARSE, "n_group": 1, "hc_mult": 2}),
    generation("HY-v3", "HYV3ForCausalLM", _QWEN),
    generation("DeepSeek V4, compressed attention", "DeepseekV4ForCausalLM", _LLAMA3, {
        "num_key_value_heads": 1, "q_lora_rank": 16, "o_groups": 2, "o_lora_rank": 8, "hc_mult": 2,
        "sliding_window": 8, "index_n_heads": 2, "index_head_dim": 8, "index_topk": 2, "head_dim": 16}),
    generation("GLM 4 MoE", "Glm4MoeForCausalLM", _QWEN, {"n_group": 1, "topk_group": 1}),
    generation("MiniCPM 3, latent attention", "MiniCPM3ForCausalLM", _LLAMA2, {
        "kv_lora_rank": 16, "q_lora_rank": 16, "qk_rope_head_dim": 4, "qk_nope_head_dim": 8, "v_head_dim": 8,
        "num_key_value_heads": 4}),
    generation("Mamba", "MambaForCausalLM", _GPT2, {"state_size": 8}, is_quick=True),
    generation("Mamba 2", "Mamba2ForCausalLM", _GPT2, {
        "num_heads": 8, "head_dim": 8, "state_size": 8, "n_groups": 1, "chunk_size": 8}),
    generation("Falcon-Mamba", "FalconMambaForCausalLM", _GPT2, {"state_size": 8}),
    generation("Falcon-H1", "FalconH1ForCausalLM", _LLAMA3, {**_MAMBA, "mamba_d_ssm": 64}),
    generation("Jamba", "JambaForCausalLM", _LLAMA2, {
        "num_hidden_layers": 4, "attn_layer_period": 2, "attn_layer_offset": 1, "use_mamba_kernels": False,
        "mamba_d_state": 8}, is_quick=True),
    generation("Bamba", "BambaForCausalLM", _LLAMA3, {
        **_MAMBA, "attn_layer_indices": [1], "rope_parameters": {
            "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}}),
    generation("Granite hybrid", "GraniteMoeHybridForCausalLM", _QWEN, {
        **_MAMBA, "layer_types": ["mamba", "attention"], "num_local_experts": 4, "shared_intermediate_size": 24}),
    generation("Granite MoE", "GraniteMoeForCausalLM", _QWEN),
    generation("Qwen 3 Next, linear attention", "Qwen3NextForCausalLM", _QWEN, {
        "layer_types": ["linear_attention", "full_attention"], "linear_num_value_heads": 4,
        "linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
        "shared_expert_intermediate_size": 24}, is_quick=True),
    generation("Nemotron-H", "NemotronHForCausalLM", _LLAMA3, {
        "layers_block_type": ["mamba", "attention", "moe"], "num_hidden_layers": 3, "mamba_num_heads": 8,
        "mamba_head_dim": 8, "ssm_state_size": 8, "n_groups": 1, "chunk_size": 8,
        "moe_shared_expert_intermediate_size": 24, "n_group": 1, "topk_group": 1}),
    generation("LFM 2, convolutions", "Lfm2ForCausalLM", _LLAMA3, {"layer_types": ["conv", "full_attention"]}),
    generation("LFM 2 MoE", "Lfm2MoeForCausalLM", _LLAMA3, {
        "layer_types": ["conv", "full_attention"], "num_dense_layers": 1}),
    generation("RecurrentGemma, window crossed", "RecurrentGemmaForCausalLM", _LLAMA2, {
        "num_hidden_layers": 3, "attention_window_size": 8, "lru_width": 32}),
    generation("RWKV", "RwkvForCausalLM", _GPT2, {"attention_hidden_size": 32}, is_quick=True),
    generation("Zamba 2", "Zamba2ForCausalLM", _LLAMA2, {
        "num_hidden_layers": 3, "layers_block_type": ["mamba", "hybrid", "mamba"], "mamba_d_state": 8,
        "mamba_headdim": 8, "n_mamba_heads": 8, "mamba_ngroups": 1, "chunk_size": 8, "num_mem_blocks": 1}),
    generation("OLMo hybrid", "OlmoHybridForCausalLM", _QWEN, {
        "layer_types": ["linear_attention", "full_attention"], "linear_num_value_heads": 4,
        "linear_num_key_heads": 4, "linear_key_head_dim": 8, "linear_value_head_dim": 8}),
    generation("Granite, window crossed", "GraniteSWAForCausalLM", _QWEN, {"sliding_window": 8}),
    generation("HyperCLOVA X", "HyperCLOVAXForCausalLM", _LLAMA2),
    generation("GIT, text alone", "GitForCausalLM", "bert", {"vision_config": {
        "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16,
        "image_size": 8, "patch_size": 4}}),
    generation("TrOCR as a decoder", "TrOCRForCausalLM", "roberta", {"cross_attention_hidden_size": 32}),
    generation("MiniMax, lightning attention", "MiniMaxForCausalLM", _QWEN, {
        "layer_types": ["linear_attention", "full_attention"], "block_size": 8}),
    generation("XGLM", "XGLMForCausalLM", _SPM, {"attention_heads": 4}),
    generation("BioGPT, slow tokenizer", "BioGptForCausalLM", "biogpt: slow BPE"),
    generation("CTRL, slow tokenizer without an end", "CTRLLMHeadModel", "ctrl: slow BPE, no end token",
               ends_every=0),
    generation("GPT", "OpenAIGPTLMHeadModel", "words: no end token", ends_every=0),
    generation("DiffLlama", "DiffLlamaForCausalLM", _LLAMA2),
    generation("Doge", "DogeForCausalLM", _LLAMA2),
    generation("JetMoE", "JetMoeForCausalLM", _LLAMA2, {"kv_channels": 8}),
    generation("DBRX", "DbrxForCausalLM", _LLAMA3, {
        "attn_config": {"kv_n_heads": 2, "rope_theta": 10000.0, "clip_qkv": 8.0},
        "ffn_config": {"ffn_hidden_size": 32, "moe_num_experts": 4, "moe_top_k": 2, "hidden_size": 32}}),
    generation("VaultGemma, soft caps", "VaultGemmaForCausalLM", _QWEN, {
        "sliding_window": 8, "attn_logit_softcapping": 5.0, "query_pre_attn_scalar": 8}),
    generation("CPM-Ant", "CpmAntForCausalLM", _SPM, {
        "num_attention_heads": 4, "dim_head": 8, "dim_ff": 48, "prompt_length": 4, "prompt_types": 4,
        "segment_types": 8, "position_bias_num_buckets": 32, "position_bias_max_distance": 64},
        ends_every=0, is_quick=True),
    generation("XLM, slow tokenizer", "XLMWithLMHeadModel", "xlm: slow BPE", {
        "causal": True, "n_langs": 1, "mask_token_id": 0}, ends_every=0),
    generation("XLNet", "XLNetLMHeadModel", "xlnet: class token last, pads on the left", {"d_head": 8},
               ends_every=0, is_quick=True),
    generation("Moshi, window crossed", "MoshiForCausalLM", _LLAMA2, {"sliding_window": 8, "ffn_dim": 48},
               is_quick=True),
    generation("Reformer", "ReformerModelWithLMHead", _SPM, {
        "is_decoder": True, "attn_layers": ["local", "local"], "axial_pos_embds": False,
        "local_attn_chunk_length": 8, "attention_head_size": 8}),
    generation("BERT as a decoder", "BertLMHeadModel", "bert", {"is_decoder": True}, looks_closely=True),
    generation("RoBERTa as a decoder", "RobertaForCausalLM", "roberta", {
        "is_decoder": True, "max_position_embeddings": 130}, looks_closely=True),
    generation("BART as a decoder", "BartForCausalLM", "roberta", looks_closely=True),
    generation("MVP as a decoder", "MvpForCausalLM", "roberta", looks_closely=True),
    generation("Pegasus as a decoder", "PegasusForCausalLM", "t5: ends with EOS"),
    generation("ModernBERT decoder, window crossed", "ModernBertDecoderForCausalLM", "modernbert", {
        "local_attention": 16, "num_hidden_layers": 3, "bos_token_id": 2, "eos_token_id": 3}),
)  # fmt: skip
