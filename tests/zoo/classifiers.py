"""Classifiers: with 1, 2, 3 and 5 labels, several labels at once, and scores that are no probabilities."""

from __future__ import annotations

from typing import Any

from tests.zoo.entry import Entry, sentiment

_UNIGRAM, _ROBERTA = "xlm-roberta", "roberta"
_LLAMA2 = "llama2: byte fallback, begins with BOS, no pad"
_BOTH = {"is_promised": True, "is_quick": True}
_PROMISED = {"is_promised": True}


def _labels(count: int) -> dict[str, Any]:
    names = {number: f"label {number}" for number in range(count)}
    return {"id2label": names, "label2id": {name: number for number, name in names.items()}}


_ONE, _TWO, _THREE, _FIVE = (_labels(count) for count in (1, 2, 3, 5))
_MANY = {**_THREE, "problem_type": "multi_label_classification"}
_VALUE = {**_ONE, "problem_type": "regression"}
#: Positions are counted from behind the padding id.
_OFFSET = {"max_position_embeddings": 130}
_SPLIT = {"embedding_size": 16}

CLASSIFIERS: tuple[Entry, ...] = (
    sentiment("BERT", "BertForSequenceClassification", "bert", _TWO, **_BOTH),
    sentiment("BERT, 1 label", "BertForSequenceClassification", "bert", _ONE),
    sentiment("BERT, 3 labels", "BertForSequenceClassification", "bert", _THREE),
    sentiment("BERT, 5 labels", "BertForSequenceClassification", "bert", _FIVE),
    sentiment("BERT, several labels at once", "BertForSequenceClassification", "bert", _MANY, is_quick=True),
    sentiment("BERT, a value", "BertForSequenceClassification", "bert", _VALUE),
    sentiment("BERT, pads on the left", "BertForSequenceClassification", "bert: pads on the left", _THREE),
    sentiment("BERT, slow tokenizer", "BertForSequenceClassification", "bert-japanese: slow characters", _TWO,
              is_quick=True),
    sentiment("RoBERTa", "RobertaForSequenceClassification", _ROBERTA, {**_THREE, **_OFFSET}, **_BOTH),
    sentiment("RoBERTa, slow tokenizer", "RobertaForSequenceClassification", "bertweet: slow BPE",
              {**_THREE, **_OFFSET}),
    sentiment("XLM-R", "XLMRobertaForSequenceClassification", _UNIGRAM, {**_FIVE, **_OFFSET}, **_BOTH),
    sentiment("XLM-R XL", "XLMRobertaXLForSequenceClassification", _UNIGRAM, {**_TWO, **_OFFSET}),
    sentiment("DeBERTa", "DebertaForSequenceClassification", _ROBERTA, {
        **_THREE, "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "max_relative_positions": 16},
        **_PROMISED),
    sentiment("DeBERTa v3", "DebertaV2ForSequenceClassification", "albert", {
        **_THREE, "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_buckets": 8,
        "position_biased_input": False, "share_att_key": True, "norm_rel_ebd": "layer_norm"}, **_BOTH),
    sentiment("DistilBERT", "DistilBertForSequenceClassification", "bert", _TWO, **_BOTH),
    sentiment("ALBERT", "AlbertForSequenceClassification", "albert", {**_FIVE, **_SPLIT}, **_BOTH),
    sentiment("ELECTRA", "ElectraForSequenceClassification", "bert", {**_THREE, **_SPLIT}, **_BOTH),
    sentiment("ModernBERT, window crossed", "ModernBertForSequenceClassification", "modernbert", {
        **_THREE, "local_attention": 16, "num_hidden_layers": 4, "global_attn_every_n_layers": 3}, **_BOTH),
    sentiment("ModernBERT, mean", "ModernBertForSequenceClassification", "modernbert", {
        **_TWO, "local_attention": 8, "num_hidden_layers": 4, "global_attn_every_n_layers": 3,
        "classifier_pooling": "mean"}, **_PROMISED),
    sentiment("XLNet", "XLNetForSequenceClassification", "xlnet: class token last, pads on the left",
              {**_THREE, "d_head": 8}, **_BOTH),
    sentiment("Longformer, window crossed", "LongformerForSequenceClassification", _ROBERTA,
              {**_TWO, **_OFFSET, "attention_window": 8}, **_BOTH),
    sentiment("BigBird, blocks crossed", "BigBirdForSequenceClassification", _UNIGRAM, {
        **_TWO, "attention_type": "block_sparse", "block_size": 2, "num_random_blocks": 1}),
    sentiment("BigBird, full attention", "BigBirdForSequenceClassification", _UNIGRAM,
              {**_TWO, "attention_type": "original_full"}),
    sentiment("CANINE", "CanineForSequenceClassification", "canine: characters, no file", {
        **_TWO, "num_hash_buckets": 64, "local_transformer_stride": 8, "upsampling_kernel_size": 4,
        "downsampling_rate": 2}, is_quick=True),
    sentiment("ConvBERT", "ConvBertForSequenceClassification", "bert", {**_TWO, "conv_kernel_size": 5}),
    sentiment("FNet", "FNetForSequenceClassification", "albert", _TWO, is_quick=True),
    sentiment("Funnel", "FunnelForSequenceClassification", "bert", {
        **_THREE, "block_sizes": [1, 1], "block_repeats": [1, 1], "d_head": 8}),
    sentiment("MobileBERT", "MobileBertForSequenceClassification", "bert", {
        **_TWO, "embedding_size": 16, "true_hidden_size": 16, "intra_bottleneck_size": 16}),
    sentiment("Nystromformer", "NystromformerForSequenceClassification", "albert", {
        **_TWO, "conv_kernel_size": 5}),
    sentiment("YOSO", "YosoForSequenceClassification", "albert", {**_TWO, "use_expectation": True}),
    sentiment("MPNet", "MPNetForSequenceClassification", "mpnet: pad is 1", {**_TWO, **_OFFSET}),
    sentiment("SqueezeBERT", "SqueezeBertForSequenceClassification", "bert", _TWO),
    sentiment("RemBERT", "RemBertForSequenceClassification", "albert", {**_TWO, "input_embedding_size": 16}),
    sentiment("RoFormer", "RoFormerForSequenceClassification", "bert", _TWO),
    sentiment("CamemBERT", "CamembertForSequenceClassification", _UNIGRAM, {**_TWO, **_OFFSET}),
    sentiment("Flaubert", "FlaubertForSequenceClassification", "bert", _TWO),
    sentiment("XLM", "XLMForSequenceClassification", "xlm: slow BPE", {**_TWO, "n_langs": 1}),
    sentiment("ERNIE", "ErnieForSequenceClassification", "bert", _TWO),
    sentiment("I-BERT", "IBertForSequenceClassification", _ROBERTA, {**_TWO, **_OFFSET}),
    sentiment("EuroBERT", "EuroBertForSequenceClassification", "modernbert", _TWO),
    sentiment("Nomic BERT", "NomicBertForSequenceClassification", "bert", _TWO),
    sentiment("Megatron-BERT", "MegatronBertForSequenceClassification", "bert", _TWO),
    sentiment("X-MOD", "XmodForSequenceClassification", _UNIGRAM, {
        **_TWO, **_OFFSET, "languages": ["en_XX", "de_DE"], "default_language": "en_XX"}),
    sentiment("X-MOD, needs a language", "XmodForSequenceClassification", _UNIGRAM, {
        **_TWO, **_OFFSET, "languages": ["en_XX", "de_DE"]}),
    sentiment("Reformer", "ReformerForSequenceClassification", "albert", {
        **_TWO, "attn_layers": ["local", "local"], "axial_pos_embds": False, "local_attn_chunk_length": 8,
        "attention_head_size": 8}),
    sentiment("BART", "BartForSequenceClassification", _ROBERTA, _THREE),
    sentiment("T5", "T5ForSequenceClassification", "t5: ends with EOS", _TWO),
    sentiment("GPT-2", "GPT2ForSequenceClassification", "gpt2: no pad, the end is the beginning", _TWO,
              is_quick=True),
    sentiment("Llama", "LlamaForSequenceClassification", _LLAMA2, _THREE),
    sentiment("Mistral, window crossed", "MistralForSequenceClassification", _LLAMA2,
              {**_TWO, "sliding_window": 8}),
    sentiment("Qwen 2", "Qwen2ForSequenceClassification", "qwen: no BOS", _FIVE),
    sentiment("Gemma 2, soft caps", "Gemma2ForSequenceClassification",
              "gemma: byte fallback, pad is 0, pads on the left",
              {**_TWO, "sliding_window": 8, "query_pre_attn_scalar": 8}),
    sentiment("OPT", "OPTForSequenceClassification", "opt: begins with the end token", _TWO),
    sentiment("BLOOM", "BloomForSequenceClassification", "bloom: nothing added, pads on the left", _TWO),
    sentiment("Jamba, recurrent", "JambaForSequenceClassification", _LLAMA2, {
        **_TWO, "num_hidden_layers": 4, "attn_layer_period": 2, "attn_layer_offset": 1,
        "use_mamba_kernels": False, "mamba_d_state": 8}),
)  # fmt: skip
