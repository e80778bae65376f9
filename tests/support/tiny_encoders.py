"""Tiny random classifiers and question-answering models of many kinds, made from configs, and their tokenizers."""

from __future__ import annotations

import copy
import functools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import ByteLevelBPETokenizer, Tokenizer, models, pre_tokenizers
from tokenizers.implementations import BertWordPieceTokenizer
from tokenizers.processors import TemplateProcessing

from models.loading.device import prepare_device
from models.loading.registry import Family, LoadedModel
from models.records import ModelSpec
from tests.support.tiny_models import SENTENCES, WORDS

_SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
_SEQ2SEQ = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
}
_READS = {"max_position_embeddings": 128}
_T5 = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}
_LLAMA = {**_SMALL, **_READS, "num_key_value_heads": 2}
_SPARSE = {"attention_type": "block_sparse", "block_size": 4, "num_random_blocks": 1}
#: By name: the prefix of its classes, its tokenizer, its configuration.
KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "bert": ("Bert", "wordpiece", {**_SMALL, **_READS}),
    "roberta": ("Roberta", "bytes", {**_SMALL, **_READS}),
    "xlm-roberta": ("XLMRoberta", "unigram", {**_SMALL, **_READS}),
    "distilbert": (
        "DistilBert",
        "wordpiece",
        {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, **_READS},
    ),
    "albert": ("Albert", "wordpiece", {**_SMALL, **_READS, "embedding_size": 16}),
    "electra": ("Electra", "wordpiece", {**_SMALL, **_READS, "embedding_size": 16}),
    "deberta": (
        "DebertaV2",
        "wordpiece",
        {**_SMALL, **_READS, "relative_attention": True, "position_buckets": 8},
    ),
    "modernbert": (
        "ModernBert",
        "bytes",
        {**_SMALL, **_READS, "local_attention": 8, "global_attn_every_n_layers": 2},
    ),
    "longformer": ("Longformer", "bytes", {**_SMALL, **_READS, "attention_window": [8, 8]}),
    "bigbird": ("BigBird", "bytes", {**_SMALL, **_READS, **_SPARSE}),
    "convbert": ("ConvBert", "wordpiece", {**_SMALL, **_READS, "embedding_size": 32, "conv_kernel_size": 5}),
    "fnet": ("FNet", "wordpiece", {**_SMALL, **_READS}),
    "funnel": (
        "Funnel",
        "wordpiece",
        {"block_sizes": [1, 1], "d_model": 32, "n_head": 4, "d_head": 8, "d_inner": 48},
    ),
    "mobilebert": (
        "MobileBert",
        "wordpiece",
        {**_SMALL, **_READS, "embedding_size": 16, "intra_bottleneck_size": 16},
    ),
    "nystromformer": (
        "Nystromformer",
        "wordpiece",
        {**_SMALL, **_READS, "num_landmarks": 64, "segment_means_seq_len": 64, "conv_kernel_size": 5},
    ),
    "yoso": ("Yoso", "wordpiece", {**_SMALL, **_READS, "conv_window": 5, "type_vocab_size": 2}),
    "canine": (
        "Canine",
        "characters",
        {**_SMALL, "num_hash_buckets": 512, "local_transformer_stride": 16, "max_position_embeddings": 512},
    ),
    "xlnet": ("XLNet", "left", {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 48}),
    "t5": ("T5", "bytes", _T5),
    "bart": ("Bart", "bytes", {**_SEQ2SEQ, **_READS, "decoder_start_token_id": 2}),
    "gpt2": ("GPT2", "endless", {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}),
    "llama": ("Llama", "bytes", _LLAMA),
    "mistral": ("Mistral", "bytes", {**_LLAMA, "sliding_window": 8}),
    "xmod": (
        "Xmod",
        "bytes",
        {**_SMALL, **_READS, "languages": ["en_XX", "de_DE"], "default_language": "de_DE"},
    ),
}
_HEADS = {"sentiment": "ForSequenceClassification", "qa": "ForQuestionAnswering"}


def tiny(kind: str, task: str, tokenizer: Any = None, *, seed: int = 0, **more: Any) -> LoadedModel:
    """A random model as if it had been loaded; `more` goes into its configuration."""
    prefix, name, settings = KINDS[kind]
    tokenizer = tokenizer or TOKENIZERS[name]()
    ids = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "sep_token_id": tokenizer.sep_token_id,
    }
    if kind == "canine":
        ids = {}
    suffix = "Simple" if (kind, task) == ("xlnet", "qa") else ""
    config = getattr(hf, f"{prefix}Config")(**{**ids, **settings, **more})
    torch.manual_seed(seed)
    model = getattr(hf, f"{prefix}{_HEADS[task]}{suffix}")(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 0.25)
    return as_loaded(model, tokenizer, task)


def as_loaded(model: Any, tokenizer: Any, task: str) -> LoadedModel:
    """A model in memory with the facts that loading would have found."""
    return LoadedModel(
        spec=ModelSpec(name="tiny", task=task, ref="tiny", dtype="float32", max_batch_tokens=2048),
        family=Family.CLASSIFIER if task == "sentiment" else Family.EXTRACTIVE,
        model=model,
        tokenizer=tokenizer,
        revision=None,
        dtype="float32",
        device=prepare_device("cpu", num_threads=1),
        num_parameters=model.num_parameters(),
        memory_bytes=0,
    )


def alone(loaded: LoadedModel) -> Callable[[str], dict[str, float]]:
    """transformers' own scores of one text, by a model that has computed nothing before it."""
    kept = copy.deepcopy(loaded.model)

    def scores(text: str) -> dict[str, float]:
        pipe = hf.pipeline(
            "text-classification",
            model=copy.deepcopy(kept),
            tokenizer=loaded.tokenizer,
            top_k=None,
        )
        found = pipe(text)
        return {one["label"]: one["score"] for one in (found[0] if isinstance(found[0], list) else found)}

    return scores


def random_texts(count: int, *, seed: int = 0, lengths: tuple[int, ...] = (3, 5, 8, 13, 24)) -> list[str]:
    """Texts of so many words each."""
    draw = random.Random(seed)
    return [" ".join(draw.choices(WORDS, k=draw.choice(lengths))) for _ in range(count)]


def _wordpiece() -> Any:
    trained = BertWordPieceTokenizer(lowercase=True)
    trained.train_from_iterator(SENTENCES, vocab_size=300, min_frequency=1, show_progress=False)
    return hf.BertTokenizer(vocab=trained.get_vocab())


def _bytes() -> Any:
    trained = ByteLevelBPETokenizer()
    specials = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trained.train_from_iterator(
        SENTENCES, vocab_size=400, min_frequency=1, special_tokens=specials, show_progress=False
    )
    trained._tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=trained._tokenizer,
        bos_token="<s>",
        cls_token="<s>",
        eos_token="</s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token=hf.AddedToken("<mask>", lstrip=True, special=True),
    )


def _endless() -> Any:
    """Without padding, as GPT-2's own."""
    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator(
        SENTENCES, vocab_size=400, min_frequency=1, special_tokens=["<|endoftext|>"], show_progress=False
    )
    return hf.GPT2Tokenizer(tokenizer_object=trained._tokenizer)


def _unigram() -> Any:
    return hf.XLMRobertaTokenizer(vocab=_pieces())


def _left() -> Any:
    return hf.XLNetTokenizer(vocab=[("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *_pieces()[4:]])


def _pieces() -> list[tuple[str, float]]:
    characters = sorted({one for sentence in SENTENCES for one in sentence if one != " "} | set("<>/[]"))
    words = [(f"▁{word}", -2.0) for word in WORDS[::2]]
    specials = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    return [*specials, ("▁", -3.0), *words, *((one, -4.0) for one in characters)]


def _whole_words() -> Any:
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
    tokenizer = Tokenizer(models.WordLevel({name: n for n, name in enumerate(names)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )


def bertweet(folder: Path) -> Any:
    """A slow tokenizer, without offsets, as BERTweet's."""
    characters = sorted({one for sentence in SENTENCES for one in sentence if one != " "} | set("<>/[]"))
    lines = [line for one in characters for line in (f"{one}@@ 1", f"{one} 1")]
    (folder / "vocab.txt").write_text("\n".join(lines), encoding="utf-8")
    (folder / "bpe.codes").write_text("#version: 0.2\nt h\nth e</w>\n", encoding="utf-8")
    return hf.BertweetTokenizer(str(folder / "vocab.txt"), str(folder / "bpe.codes"))


_characters = functools.cache(hf.CanineTokenizer)  # a vocabulary of all of Unicode takes seconds to make


def _a_copy_of(make: Callable[[], Any]) -> Callable[[], Any]:
    """Trained once: two trainings need not give the same vocabulary."""
    trained = functools.cache(make)
    return lambda: copy.deepcopy(trained())


#: By name, what makes a fresh one.
TOKENIZERS: dict[str, Callable[[], Any]] = {
    "wordpiece": _a_copy_of(_wordpiece),
    "bytes": _a_copy_of(_bytes),
    "endless": _a_copy_of(_endless),
    "unigram": _a_copy_of(_unigram),
    "left": _a_copy_of(_left),
    "words": _a_copy_of(_whole_words),
    "characters": lambda: _characters(),
}
