"""Tokenizers of every kind met in practice, trained on a few sentences: a table of data."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tokenizers as rust
import transformers as hf
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing

from tests.support.tiny_models import SENTENCES, WORDS
from tests.zoo.slow_tokenizers import SLOW, sentence_pieces

_ROBERTA = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_ROBERTA_ROLES = {
    "bos_token": "<s>", "cls_token": "<s>", "eos_token": "</s>", "sep_token": "</s>",
    "pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>",
}  # fmt: skip
_ROBERTA_FORM = ("<s> $A </s>", "<s> $A </s> </s> $B </s>")
_BERT = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_BERT_ROLES = {
    "pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]",
    "mask_token": "[MASK]",
}  # fmt: skip
_BERT_FORM = ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
_XLNET = ("<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>")
_XLNET_ROLES = {
    "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "cls_token": "<cls>",
    "sep_token": "<sep>", "pad_token": "<pad>", "mask_token": "<mask>",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind of tokenizer."""

    algorithm: str  #: a key of `_TRAINED`
    specials: tuple[str, ...] = ()  #: in the order of their ids, from 0
    roles: Mapping[str, str] = field(default_factory=dict)
    form: tuple[str, str] | None = None  #: of one text and of a pair, as `TemplateProcessing` writes them
    padding_side: str = "right"
    token_types: bool = False


KINDS: Mapping[str, Kind] = {
    # Byte-level BPE.
    "gpt2: no pad, the end is the beginning": Kind(
        algorithm="byte-level BPE",
        specials=("<|endoftext|>",),
        roles=dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>"),
    ),
    "llama3: begins with BOS, no pad": Kind(
        algorithm="byte-level BPE",
        specials=("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"),
        roles={"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"},
        form=("<|begin_of_text|> $A", "<|begin_of_text|> $A $B"),
    ),
    "qwen: no BOS": Kind(
        algorithm="byte-level BPE",
        specials=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
        roles={"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"},
    ),
    "opt: begins with the end token": Kind(
        algorithm="byte-level BPE",
        specials=("<s>", "<pad>", "</s>", "<unk>"),
        roles={"bos_token": "</s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"},
        form=("</s> $A", "</s> $A $B"),
    ),
    "bloom: nothing added, pads on the left": Kind(
        algorithm="byte-level BPE",
        specials=("<unk>", "<s>", "</s>", "<pad>"),
        roles={"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"},
        padding_side="left",
    ),
    "bytes without any special token": Kind(algorithm="byte-level BPE"),
    "roberta": Kind(
        algorithm="byte-level BPE", specials=_ROBERTA, roles=_ROBERTA_ROLES, form=_ROBERTA_FORM
    ),
    "modernbert": Kind(
        algorithm="byte-level BPE", specials=_BERT, roles=_BERT_ROLES, form=("[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]"),
    ),
    # BPE of characters.
    "llama2: byte fallback, begins with BOS, no pad": Kind(
        algorithm="BPE with byte fallback",
        specials=("<unk>", "<s>", "</s>"),
        roles={"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"},
        form=("<s> $A", "<s> $A <s>:1 $B:1"),
    ),
    "gemma: byte fallback, pad is 0, pads on the left": Kind(
        algorithm="BPE with byte fallback",
        specials=("<pad>", "<eos>", "<bos>", "<unk>"),
        roles={"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>", "unk_token": "<unk>"},
        form=("<bos> $A", "<bos> $A <bos>:1 $B:1"),
        padding_side="left",
    ),
    "characters unknown": Kind(
        algorithm="BPE without byte fallback",
        specials=("<s>", "<pad>", "</s>", "<unk>"),
        roles={"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"},
        form=("</s> $A", "</s> $A </s> $B"),
    ),
    # WordPiece.
    "bert": Kind(
        algorithm="WordPiece", specials=_BERT, roles=_BERT_ROLES, form=_BERT_FORM, token_types=True
    ),
    "bert: pads on the left": Kind(
        algorithm="WordPiece", specials=_BERT, roles=_BERT_ROLES, form=_BERT_FORM, token_types=True,
        padding_side="left",
    ),
    "mpnet: pad is 1": Kind(
        algorithm="WordPiece", specials=("<s>", "<pad>", "</s>", "[UNK]", "<mask>"),
        roles={**_ROBERTA_ROLES, "unk_token": "[UNK]"}, form=_ROBERTA_FORM,
    ),
    # Unigram.
    "xlm-roberta": Kind(algorithm="Unigram", specials=_ROBERTA, roles=_ROBERTA_ROLES, form=_ROBERTA_FORM),
    "t5: ends with EOS": Kind(
        algorithm="Unigram",
        specials=("<pad>", "</s>", "<unk>"),
        roles={"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"},
        form=("$A </s>", "$A </s> $B </s>"),
    ),
    "albert": Kind(
        algorithm="Unigram", specials=("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"),
        roles={**_BERT_ROLES, "pad_token": "<pad>", "unk_token": "<unk>"}, form=_BERT_FORM, token_types=True,
    ),
    "xlnet: class token last, pads on the left": Kind(
        algorithm="Unigram", specials=_XLNET, roles=_XLNET_ROLES,
        form=("$A:0 <sep>:0 <cls>:2", "$A:0 <sep>:0 $B:1 <sep>:1 <cls>:2"), padding_side="left", token_types=True,
    ),
    # Words, and nothing else.
    "words: no end token": Kind(
        algorithm="words", specials=("[UNK]", "[PAD]"), roles={"unk_token": "[UNK]", "pad_token": "[PAD]"}
    ),
}  # fmt: skip


def tokenizer(kind: str, folder: Path, **more: Any) -> Any:
    """A tokenizer of a kind.

    Args:
        kind: a key of `KINDS` or of `SLOW`.
        folder: where files may be put that its class reads.
        more: for transformers' class, such as `model_max_length`.
    """
    if kind in SLOW:
        return SLOW[kind](folder, more)
    facts = KINDS[kind]
    trained = _TRAINED[facts.algorithm](list(facts.specials))
    if facts.form:
        named = [(token, trained.token_to_id(token)) for token in facts.specials]
        trained.post_processor = TemplateProcessing(
            single=facts.form[0], pair=facts.form[1], special_tokens=named
        )
    names = ["input_ids", *(["token_type_ids"] if facts.token_types else []), "attention_mask"]
    return hf.PreTrainedTokenizerFast(
        tokenizer_object=trained,
        padding_side=facts.padding_side,
        model_input_names=names,
        clean_up_tokenization_spaces=False,
        **facts.roles,
        **more,
    )


def _byte_level(specials: list[str]) -> Any:
    made = rust.Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(SENTENCES, trainer)
    return made


def _of_characters(specials: list[str], *, with_bytes: bool) -> Any:
    names = [f"<0x{number:02X}>" for number in range(256)] if with_bytes else []
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=specials, show_progress=False)
    made = rust.Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    made.normalizer = _AS_SENTENCEPIECE
    made.train_from_iterator(SENTENCES, trainer)
    if with_bytes:  # behind the special tokens, before all others, as in Llama
        model = json.loads(made.to_str())["model"]
        ordered = sorted(model["vocab"], key=model["vocab"].get)
        head, tail = ordered[: len(specials)], ordered[len(specials) :]
        vocab = {token: number for number, token in enumerate([*head, *names, *tail])}
        merges = [tuple(pair) for pair in model["merges"]]
        made.model = models.BPE(vocab, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return made


_AS_SENTENCEPIECE = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])


def _wordpiece(specials: list[str]) -> Any:
    # By hand: the trainer's choice differs from run to run.
    words = sorted({word.lower() for word in WORDS if word.isalpha()})
    letters = sorted({letter for word in words for letter in word})
    names = [*specials, *letters, *(f"##{letter}" for letter in letters), "##ing", "##ed", *words[::2]]
    vocabulary = {name: number for number, name in enumerate(dict.fromkeys(names))}
    made = rust.Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    return made


def _unigram(specials: list[str]) -> Any:
    vocabulary = [*((token, 0.0) for token in specials), *sentence_pieces()]
    made = rust.Tokenizer(models.Unigram(vocabulary, unk_id=specials.index("<unk>")))
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    return made


def _words(specials: list[str]) -> Any:
    made = rust.Tokenizer(models.WordLevel(unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    trainer = trainers.WordLevelTrainer(vocab_size=400, special_tokens=specials, show_progress=False)
    made.train_from_iterator(SENTENCES, trainer)
    return made


_TRAINED: Mapping[str, Callable[[list[str]], Any]] = {
    "byte-level BPE": _byte_level,
    "BPE with byte fallback": lambda specials: _of_characters(specials, with_bytes=True),
    "BPE without byte fallback": lambda specials: _of_characters(specials, with_bytes=False),
    "WordPiece": _wordpiece,
    "Unigram": _unigram,
    "words": _words,
}
