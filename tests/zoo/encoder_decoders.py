"""Encoder-decoders: translation where the product translates with them, else generation."""

from __future__ import annotations

from tests.zoo.entry import Entry, generation, translation

_T5 = "t5: ends with EOS"
_ROBERTA = "roberta"
_GATED = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
#: As in public Marian models: padding begins a text and is never chosen.
_MARIAN = {"defaults": {"bad_words_ids": [[151]], "forced_eos_token_id": 0, "decoder_start_token_id": 151}}
_TRANSLATES = {"task_specific_params": {"translation_en_to_de": {"prefix": "translate English to German: "}}}
_GEMMA = {
    "vocab_size": 155, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "sliding_window": 8,
    "query_pre_attn_scalar": 8, "max_position_embeddings": 256, "bos_token_id": None, "eos_token_id": 1,
    "pad_token_id": 0,
}  # fmt: skip
_BOTH = {"is_promised": True, "is_quick": True}
_PROMISED = {"is_promised": True}

ENCODER_DECODERS: tuple[Entry, ...] = (
    translation("Marian", "MarianMTModel", "marian: slow sentencepiece",
                {"scale_embedding": True, "share_encoder_decoder_embeddings": True},
                looks_closely=True, **_MARIAN, **_BOTH),
    translation("Marian, beams by default", "MarianMTModel", "marian: slow sentencepiece", looks_closely=True,
                defaults={**_MARIAN["defaults"], "num_beams": 6}, is_promised=True),
    translation("T5", "T5ForConditionalGeneration", _T5, _TRANSLATES, **_PROMISED,
                params={"source_language": "en", "target_language": "de"}),
    generation("T5, gated", "T5ForConditionalGeneration", _T5, _GATED, **_BOTH),
    generation("mT5", "MT5ForConditionalGeneration", _T5, _GATED, **_BOTH),
    generation("UMT5", "UMT5ForConditionalGeneration", _T5, _GATED),
    generation("LongT5, local attention crossed", "LongT5ForConditionalGeneration", _T5, {"local_radius": 6}),
    generation("Switch Transformers", "SwitchTransformersForConditionalGeneration", _T5, {
        "num_sparse_encoder_layers": 1, "num_sparse_decoder_layers": 1, "expert_capacity": 64}),
    generation("BART", "BartForConditionalGeneration", _ROBERTA, looks_closely=True,
               defaults={"forced_eos_token_id": 2, "forced_bos_token_id": 0, "decoder_start_token_id": 2},
               **_BOTH),
    translation("mBART", "MBartForConditionalGeneration", "mbart", looks_closely=True,
                params={"source_language": "fr_XX", "target_language": "de_DE"}, **_BOTH),
    translation("M2M100", "M2M100ForConditionalGeneration", "m2m100: slow sentencepiece",
                {"decoder_start_token_id": 2, "vocab_size": 280}, looks_closely=True,
                params={"source_language": "fr", "target_language": "de"}, **_BOTH),
    translation("NLLB", "M2M100ForConditionalGeneration", "nllb", {"decoder_start_token_id": 2},
                looks_closely=True, params={"source_language": "fra_Latn", "target_language": "deu_Latn"},
                **_PROMISED),
    translation("NLLB MoE", "NllbMoeForConditionalGeneration", "nllb", {
        "decoder_start_token_id": 2, "num_experts": 4, "expert_capacity": 64, "encoder_sparse_step": 2,
        "decoder_sparse_step": 2}, looks_closely=True, params={"target_language": "deu_Latn"}),
    generation("PLBart", "PLBartForConditionalGeneration", _ROBERTA, looks_closely=True),
    generation("Pegasus", "PegasusForConditionalGeneration", _T5,
               {"decoder_start_token_id": 0}, looks_closely=True, **_BOTH),
    generation("Pegasus-X, blocks crossed", "PegasusXForConditionalGeneration", _T5,
               {"block_size": 8, "num_global_tokens": 4}, looks_closely=True),
    generation("BigBird-Pegasus, blocks crossed", "BigBirdPegasusForConditionalGeneration", _T5,
               {"block_size": 2, "num_random_blocks": 1}, looks_closely=True),
    generation("LED, window crossed", "LEDForConditionalGeneration", _ROBERTA, {
        "attention_window": 8, "max_encoder_position_embeddings": 256,
        "max_decoder_position_embeddings": 256}, looks_closely=True, is_quick=True),
    generation("MVP", "MvpForConditionalGeneration", _ROBERTA, looks_closely=True),
    generation("Blenderbot", "BlenderbotForConditionalGeneration", _ROBERTA, looks_closely=True),
    generation("Blenderbot small", "BlenderbotSmallForConditionalGeneration", _ROBERTA, looks_closely=True),
    generation("ProphetNet, slow tokenizer", "ProphetNetForConditionalGeneration", "prophetnet: slow WordPiece",
               {"eos_token_id": 3, "num_buckets": 8, "relative_max_distance": 32}, looks_closely=True),
    translation("FSMT, slow tokenizer", "FSMTForConditionalGeneration", "fsmt: slow BPE", {
        "langs": ["en", "de"], "src_vocab_size": 264, "tgt_vocab_size": 264, "bos_token_id": 0,
        "eos_token_id": 2, "decoder_start_token_id": 2}, looks_closely=True),
    generation("T5Gemma, soft caps, window crossed", "T5GemmaForConditionalGeneration", _T5, {
        "encoder": _GEMMA, "decoder": {**_GEMMA, "cross_attention_hidden_size": 32}},
        defaults={"suppress_tokens": [0]}, looks_closely=True),
)  # fmt: skip
