"""Tiny translation models that are told their languages, each in the way of its family."""

from __future__ import annotations

import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import sentencepiece
import torch
import transformers as hf
from tokenizers import SentencePieceUnigramTokenizer

from models.loading.registry import LoadedModel
from tests.support.tiny_models import SENTENCES, TinyModels

_SIZES: dict[str, Any] = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 64,
}
_MARKS = (">>fra<<", ">>deu<<", ">>spa<<")


def unigram_vocabulary() -> list[tuple[str, float]]:
    """Pieces and their scores, by the algorithm of sentencepiece, with its three special tokens."""
    trained = SentencePieceUnigramTokenizer()
    trained.train_from_iterator(
        SENTENCES, vocab_size=200, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>"
    )
    return [tuple(pair) for pair in json.loads(trained._tokenizer.to_str())["model"]["vocab"]]


@cache
def mbart50(folder: Path) -> Path:
    """mBART-50: a fast Unigram tokenizer, a code before the text, the target forced."""
    tokenizer = hf.MBart50Tokenizer(vocab=[list(pair) for pair in unigram_vocabulary()], src_lang="de_DE")
    config = hf.MBartConfig(
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.eos_token_id,
        **_SIZES,
    )
    return _save(hf.MBartForConditionalGeneration, config, tokenizer, folder / "mbart50")


@cache
def m2m100(folder: Path) -> Path:
    """M2M100: a slow tokenizer, codes such as `fr`."""
    corpus = folder / "corpus.txt"
    corpus.write_text("\n".join(SENTENCES * 4), encoding="utf-8")
    sentencepiece.SentencePieceTrainer.train(
        input=str(corpus),
        model_prefix=str(folder / "m2m"),
        vocab_size=200,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(folder / "m2m.model"))
    names = [pieces.id_to_piece(number) for number in range(3, pieces.get_piece_size())]
    vocabulary = {name: number for number, name in enumerate(["<s>", "<pad>", "</s>", "<unk>", *names])}
    (folder / "m2m.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    tokenizer = hf.M2M100Tokenizer(
        vocab_file=str(folder / "m2m.json"), spm_file=str(folder / "m2m.model"), src_lang="de"
    )
    config = hf.M2M100Config(
        vocab_size=tokenizer.vocab_size + len(tokenizer.lang_code_to_id) + 8,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.eos_token_id,
        **_SIZES,
    )
    return _save(hf.M2M100ForConditionalGeneration, config, tokenizer, folder / "m2m100")


def marian(tiny_models: TinyModels, folder: Path, *, target: str = "mul", **config: Any) -> Path:
    """Marian with targets named by tokens such as `>>fra<<`, or with another configuration."""
    shutil.copytree(tiny_models["marian"], folder, dirs_exist_ok=True)
    if target != "de":
        vocabulary = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
        names = sorted(vocabulary, key=vocabulary.__getitem__)
        names[-1 - len(_MARKS) : -1] = _MARKS  # the last is the padding
        (folder / "vocab.json").write_text(json.dumps({n: i for i, n in enumerate(names)}), encoding="utf-8")
    change_json(folder / "tokenizer_config.json", source_lang="en", target_lang=target)
    change_json(folder / "config.json", **config)
    return folder


def change_json(path: Path, **values: Any) -> None:
    """Sets values of a JSON file; None takes them out."""
    content = json.loads(path.read_text(encoding="utf-8"))
    content |= values
    content = {name: value for name, value in content.items() if value is not None}
    path.write_text(json.dumps(content), encoding="utf-8")


def _save(model_class: Any, config: Any, tokenizer: Any, folder: Path) -> Path:
    torch.manual_seed(5)
    model = model_class(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(0.0, 1.0 if "_proj" in name else 0.35)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def translated_alone(loaded: LoadedModel, text: str, **options: Any) -> str:
    """What transformers' `generate` makes of one text by itself."""
    model: Any = loaded.model
    produced = model.generate(**loaded.tokenizer(text, return_tensors="pt"), **options)
    return str(loaded.tokenizer.decode(produced[0], skip_special_tokens=True)).strip()
