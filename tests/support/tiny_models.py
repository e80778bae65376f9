"""Small random models with real tokenizers, one folder each, built when first asked for.

The weights are random but far from zero, so that outputs vary with the input and two
tokens hardly ever score the same. Everything is deterministic.
"""

from __future__ import annotations

import json
import shutil
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import sentencepiece
import torch
import transformers as hf
from tokenizers import ByteLevelBPETokenizer, SentencePieceBPETokenizer
from tokenizers.implementations import BertWordPieceTokenizer
from tokenizers.processors import TemplateProcessing

from models.loading.registry import LoadedModel

Loader = Callable[[str, str], LoadedModel]  #: of a task and a small model's name

SENTENCES = (
    "I enjoy walking with my cute dog in the park near the river.",
    "The weather is nice today, but it may rain again tomorrow evening.",
    "A warm, funny and engaging film that nobody should miss this year.",
    "The report was written by Ada, who had measured everything twice.",
    "Nobody knew why the old clock in the hall had stopped at midnight.",
    "She bought three apples, two pears and a loaf of fresh brown bread.",
    "Trains from the north arrive late whenever snow covers the tracks.",
    "He asked whether the results could be repeated by another team.",
    "In 1969 two people walked on the moon while a third flew around it.",
    "Die Katze schläft auf dem Sofa, während der Hund im Garten bellt.",
    "Une voiture rouge s'est arrêtée devant la maison au bout de la rue.",
    "What a dull, noisy and far too long evening that turned out to be!",
)
WORDS = tuple(sorted({word.strip(".,!") for sentence in SENTENCES for word in sentence.split()}))
_SPREAD = 0.35  # standard deviation of the random weights
_LATER = frozenset({"gemma"})  # came after the seeds of the others were settled
_AS_THEY_ARE: Mapping[str, float] = {}
#: Where layers normalise what they add up (BART's kin), attention that looks everywhere makes all tokens
#: alike, and the same word comes out whatever went in. So it looks closely, and adds less.
_LOOKS_CLOSELY = {"q_proj": 3.0, "k_proj": 3.0, "v_proj": 0.5, "out_proj": 0.5, "bias": 0.3}


class TinyModels:
    """Folders of models by name, built once per test session."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __getitem__(self, name: str) -> Path:
        folder = self._root / name
        if not folder.exists():
            half_done = self._root / f"{name}.building"
            half_done.mkdir(parents=True)
            torch.manual_seed(_seed_of(name))
            _BUILDERS[name](half_done)
            half_done.rename(folder)
        return folder


def _seed_of(name: str) -> int:
    """One that stays when other models come: some tests want a model that int8 does not change much."""
    first = sorted(_BUILDERS.keys() - _LATER)
    return 20 + (first.index(name) if name in first else len(first) + zlib.crc32(name.encode()) % 1000)


def _save(
    model: hf.PreTrainedModel, tokenizer: Any, folder: Path, factors: Mapping[str, float] = _AS_THEY_ARE
) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 1 and ("norm" in name or "ln_" in name):
                parameter.fill_(1.0) if name.endswith("weight") else parameter.zero_()
            else:
                part = "bias" if parameter.dim() == 1 else name.split(".")[-2]
                parameter.normal_(0.0, _SPREAD * factors.get(part, 1.0))
    model.tie_weights()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _byte_pairs(*specials: str, size: int = 400) -> ByteLevelBPETokenizer:
    tokenizer = ByteLevelBPETokenizer()
    tokenizer.train_from_iterator(
        SENTENCES, vocab_size=size, min_frequency=1, special_tokens=list(specials), show_progress=False
    )
    return tokenizer


def _gpt2(folder: Path) -> None:
    trained = _byte_pairs("<|endoftext|>")
    tokenizer = hf.GPT2Tokenizer(tokenizer_object=trained._tokenizer, model_max_length=128)
    config = hf.GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=128,
        n_embd=32,
        n_layer=2,
        n_head=4,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    _save(hf.GPT2LMHeadModel(config), tokenizer, folder)


def _rotary(config_class: Any, model_class: Any, **more: Any) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        trained = _byte_pairs("<s>", "</s>", "<pad>")
        bos, eos = trained.token_to_id("<s>"), trained.token_to_id("</s>")
        trained._tokenizer.post_processor = TemplateProcessing(
            single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", bos)]
        )
        tokenizer = hf.PreTrainedTokenizerFast(
            tokenizer_object=trained._tokenizer,
            bos_token="<s>",
            eos_token="</s>",
            pad_token="<pad>",
            model_max_length=128,
        )
        config = config_class(
            vocab_size=len(tokenizer),
            max_position_embeddings=128,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            bos_token_id=bos,
            eos_token_id=eos,
            pad_token_id=tokenizer.pad_token_id,
            **more,
        )
        _save(model_class(config), tokenizer, folder)

    return build


def _bloom(folder: Path) -> None:
    trained = _byte_pairs("<s>", "</s>", "<pad>")
    tokenizer = hf.PreTrainedTokenizerFast(
        tokenizer_object=trained._tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    config = hf.BloomConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        n_layer=2,
        n_head=4,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    _save(hf.BloomForCausalLM(config), tokenizer, folder)


def _marian(folder: Path) -> None:
    corpus = folder / "corpus.txt"
    corpus.write_text("\n".join(SENTENCES * 4), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus),
        model_prefix=str(folder / "source"),
        vocab_size=200,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    (folder / "source.model").rename(folder / "source.spm")
    shutil.copy(folder / "source.spm", folder / "target.spm")
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "source.spm"))
    names = [pieces.id_to_piece(number) for number in range(pieces.get_piece_size())]
    kept = [name for name in names if name not in ("<s>", "</s>", "<unk>")]
    vocabulary = {name: number for number, name in enumerate(["</s>", "<unk>", *kept, "<pad>"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    tokenizer = hf.MarianTokenizer(
        source_spm=str(folder / "source.spm"),
        target_spm=str(folder / "target.spm"),
        vocab=str(folder / "vocab.json"),
        source_lang="en",
        target_lang="de",
        model_max_length=64,
    )
    pad = tokenizer.pad_token_id
    config = hf.MarianConfig(
        vocab_size=len(tokenizer),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        max_position_embeddings=64,
        pad_token_id=pad,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=pad,
        forced_eos_token_id=None,
        share_encoder_decoder_embeddings=True,
    )
    model = hf.MarianMTModel(config)
    # As in trained models: it matters to beams whether padding is forbidden before or after probabilities
    # are made of scores, and CTranslate2 does it before.
    model.final_logits_bias[0, pad] = -30.0
    model.generation_config = hf.GenerationConfig(
        pad_token_id=pad,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=pad,
        bad_words_ids=[[pad]],
        max_length=64,
    )
    _save(model, tokenizer, folder, _LOOKS_CLOSELY)
    for name in ("corpus.txt", "source.vocab"):
        (folder / name).unlink(missing_ok=True)


def _t5(folder: Path) -> None:
    trained = _byte_pairs("<pad>", "</s>", "<unk>")
    eos = trained.token_to_id("</s>")
    trained._tokenizer.post_processor = TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", eos)]
    )
    tokenizer = hf.PreTrainedTokenizerFast(
        tokenizer_object=trained._tokenizer, eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )
    config = hf.T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=eos,
        decoder_start_token_id=tokenizer.pad_token_id,
        task_specific_params={
            "translation_en_to_de": {"prefix": "translate English to German: ", "max_length": 300},
            "translation_en_to_fr": {"prefix": "translate English to French: ", "max_length": 300},
        },
    )
    _save(hf.T5ForConditionalGeneration(config), tokenizer, folder)


def _bart(folder: Path) -> None:
    trained = _byte_pairs("<s>", "<pad>", "</s>", "<unk>")
    bos, eos = trained.token_to_id("<s>"), trained.token_to_id("</s>")
    trained._tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", bos), ("</s>", eos)]
    )
    tokenizer = hf.PreTrainedTokenizerFast(
        tokenizer_object=trained._tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        model_max_length=64,
    )
    config = hf.BartConfig(
        vocab_size=len(tokenizer),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        max_position_embeddings=64,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=bos,
        eos_token_id=eos,
        decoder_start_token_id=eos,
        forced_eos_token_id=eos,
    )
    _save(hf.BartForConditionalGeneration(config), tokenizer, folder, _LOOKS_CLOSELY)


def _nllb(folder: Path) -> None:
    trained = SentencePieceBPETokenizer()
    trained.train_from_iterator(
        SENTENCES,
        vocab_size=300,
        min_frequency=1,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>"],
        show_progress=False,
    )
    model = json.loads(trained._tokenizer.to_str())["model"]
    merges = [tuple(pair) for pair in model["merges"]]
    tokenizer = hf.NllbTokenizer(
        vocab=model["vocab"], merges=merges, src_lang="eng_Latn", tgt_lang="deu_Latn"
    )
    config = hf.M2M100Config(
        vocab_size=len(tokenizer),
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        max_position_embeddings=64,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.eos_token_id,
    )
    _save(hf.M2M100ForConditionalGeneration(config), tokenizer, folder)


def _bert_tokenizer() -> Any:
    trained = BertWordPieceTokenizer(lowercase=True)
    trained.train_from_iterator(SENTENCES, vocab_size=300, min_frequency=1, show_progress=False)
    return hf.BertTokenizer(vocab=trained.get_vocab(), model_max_length=48)


def _bert(model_class: Any, **more: Any) -> Callable[[Path], None]:
    def build(folder: Path) -> None:
        tokenizer = _bert_tokenizer()
        config = hf.BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=48,
            max_position_embeddings=48,
            pad_token_id=tokenizer.pad_token_id,
            **more,
        )
        _save(model_class(config), tokenizer, folder)

    return build


_LABELS: dict[int, str] = {0: "NEGATIVE", 1: "POSITIVE"}
_BUILDERS: dict[str, Callable[[Path], None]] = {
    "gpt2": _gpt2,
    "llama": _rotary(hf.LlamaConfig, hf.LlamaForCausalLM),
    "qwen": _rotary(hf.Qwen2Config, hf.Qwen2ForCausalLM),
    "gemma": _rotary(hf.GemmaConfig, hf.GemmaForCausalLM, head_dim=8),
    "mistral": _rotary(hf.MistralConfig, hf.MistralForCausalLM, sliding_window=6),
    "bloom": _bloom,
    "marian": _marian,
    "t5": _t5,
    "bart": _bart,
    "nllb": _nllb,
    "bert-classifier": _bert(
        hf.BertForSequenceClassification,
        id2label=_LABELS,
        label2id={label: number for number, label in _LABELS.items()},
    ),
    "bert-five-labels": _bert(hf.BertForSequenceClassification, num_labels=5),
    "bert-multi-label": _bert(
        hf.BertForSequenceClassification, num_labels=3, problem_type="multi_label_classification"
    ),
    "bert-qa": _bert(hf.BertForQuestionAnswering),
    "bert-base": _bert(hf.BertModel),
}
