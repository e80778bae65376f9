"""Models that find answers."""

from __future__ import annotations

from tests.zoo.entry import Entry, qa

_UNIGRAM, _ROBERTA = "xlm-roberta", "roberta"
_BOTH = {"is_promised": True, "is_quick": True}
_PROMISED = {"is_promised": True}
_OFFSET = {"max_position_embeddings": 130}

READERS: tuple[Entry, ...] = (
    qa("BERT", "BertForQuestionAnswering", "bert", **_BOTH),
    qa("BERT, pads on the left", "BertForQuestionAnswering", "bert: pads on the left"),
    qa("RoBERTa", "RobertaForQuestionAnswering", _ROBERTA, _OFFSET, **_BOTH),
    qa("XLM-R", "XLMRobertaForQuestionAnswering", _UNIGRAM, _OFFSET, **_PROMISED),
    qa("DeBERTa", "DebertaForQuestionAnswering", _ROBERTA, **_PROMISED),
    qa("DeBERTa v3", "DebertaV2ForQuestionAnswering", "albert", {
        "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 8}, **_BOTH),
    qa("DistilBERT", "DistilBertForQuestionAnswering", "bert", **_PROMISED),
    qa("ALBERT", "AlbertForQuestionAnswering", "albert", {"embedding_size": 16}, **_PROMISED),
    qa("ELECTRA", "ElectraForQuestionAnswering", "bert", {"embedding_size": 16}, **_PROMISED),
    qa("ModernBERT, window crossed", "ModernBertForQuestionAnswering", "modernbert", {
        "local_attention": 8, "num_hidden_layers": 4, "global_attn_every_n_layers": 3}, **_BOTH),
    qa("XLNet", "XLNetForQuestionAnsweringSimple", "xlnet: class token last, pads on the left",
       {"d_head": 8}, **_BOTH),
    qa("Longformer, window crossed", "LongformerForQuestionAnswering", _ROBERTA,
       {**_OFFSET, "attention_window": 8}, **_BOTH),
    qa("BigBird, blocks crossed", "BigBirdForQuestionAnswering", _UNIGRAM, {
        "attention_type": "block_sparse", "block_size": 2, "num_random_blocks": 1}),
    qa("ConvBERT", "ConvBertForQuestionAnswering", "bert", {"conv_kernel_size": 5}),
    qa("FNet", "FNetForQuestionAnswering", "albert", is_quick=True),
    qa("Funnel", "FunnelForQuestionAnswering", "bert", {
        "block_sizes": [1, 1], "block_repeats": [1, 1], "d_head": 8}),
    qa("MobileBERT", "MobileBertForQuestionAnswering", "bert", {
        "embedding_size": 16, "true_hidden_size": 16, "intra_bottleneck_size": 16}),
    qa("Nystromformer", "NystromformerForQuestionAnswering", "albert", {"conv_kernel_size": 5}),
    qa("YOSO", "YosoForQuestionAnswering", "albert", {
        "use_expectation": True, "type_vocab_size": 2}),
    qa("CANINE, slow tokenizer", "CanineForQuestionAnswering", "canine: characters, no file", {
        "num_hash_buckets": 64, "local_transformer_stride": 8}),
    qa("MPNet", "MPNetForQuestionAnswering", "mpnet: pad is 1", _OFFSET),
    qa("Splinter", "SplinterForQuestionAnswering", "bert"),
    qa("RemBERT", "RemBertForQuestionAnswering", "albert", {"input_embedding_size": 16}),
    qa("RoFormer", "RoFormerForQuestionAnswering", "bert"),
    qa("Flaubert", "FlaubertForQuestionAnsweringSimple", "bert"),
    qa("BART", "BartForQuestionAnswering", _ROBERTA),
    qa("LED", "LEDForQuestionAnswering", _ROBERTA, {
        "attention_window": 8, "max_encoder_position_embeddings": 256,
        "max_decoder_position_embeddings": 256}),
    qa("T5", "T5ForQuestionAnswering", "t5: ends with EOS"),
    qa("GPT-2", "GPT2ForQuestionAnswering", "gpt2: no pad, the end is the beginning"),
    qa("Llama", "LlamaForQuestionAnswering", "llama2: byte fallback, begins with BOS, no pad"),
    qa("X-MOD, needs a language", "XmodForQuestionAnswering", _UNIGRAM, {
        **_OFFSET, "languages": ["en_XX", "de_DE"]}),
)  # fmt: skip
