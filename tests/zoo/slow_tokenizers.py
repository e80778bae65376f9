"""Tokenizers without a fast form, made from the files that their classes read."""

from __future__ import annotations

import collections
import functools
import io
import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import sentencepiece
import transformers as hf
from transformers.models.m2m_100.tokenization_m2m_100 import FAIRSEQ_LANGUAGE_CODES

from tests.support.tiny_models import SENTENCES

_LETTERS = sorted({letter for sentence in SENTENCES for letter in sentence if letter != " "})
Maker = Callable[[Path, Any], Any]  #: of a folder for the files, and what goes to the class


def _prophetnet(folder: Path, more: Any) -> Any:
    from tests.zoo.tokenizers import tokenizer  # its vocabulary is BERT's

    vocabulary = tokenizer("bert", folder).get_vocab()
    # The class finds [X_SEP] by its place.
    names = [*sorted(vocabulary, key=vocabulary.__getitem__), "[X_SEP]"]
    (folder / "vocab.txt").write_text("\n".join(names), encoding="utf-8")
    return hf.ProphetNetTokenizer(str(folder / "vocab.txt"), **more)


def _bertweet(folder: Path, more: Any) -> Any:
    _vocabulary, merges = _pairs_of_words()
    (folder / "vocab.txt").write_text(
        "\n".join(f"{token} 1" for token in _with_joints(merges)), encoding="utf-8"
    )
    lines = [f"{left} {right} 1" for left, right in merges]
    (folder / "bpe.codes").write_text("\n".join([*lines, ""]), encoding="utf-8")
    return hf.BertweetTokenizer(str(folder / "vocab.txt"), str(folder / "bpe.codes"), **more)


def _ctrl(folder: Path, more: Any) -> Any:
    _vocabulary, merges = _pairs_of_words()
    names = ["<unk>", *_with_joints(merges)]
    return _with_files(hf.CTRLTokenizer, folder, names, merges, ("vocab_file", "merges_file"), more)


def _biogpt(folder: Path, more: Any) -> Any:
    vocabulary, merges = _pairs_of_words()
    names = ["<s>", "<pad>", "</s>", "<unk>", *vocabulary]
    return _with_files(hf.BioGptTokenizer, folder, names, merges, ("vocab_file", "merges_file"), more)


def _xlm(folder: Path, more: Any) -> Any:
    vocabulary, merges = _pairs_of_words()
    specials = [f"<special{number}>" for number in range(10)]
    names = ["<s>", "</s>", "<pad>", "<unk>", *specials, *vocabulary]
    return _with_files(hf.XLMTokenizer, folder, names, merges, ("vocab_file", "merges_file"), more)


def _fsmt(folder: Path, more: Any) -> Any:
    vocabulary, merges = _pairs_of_words()
    names = ["<s>", "<pad>", "</s>", "<unk>", *vocabulary]
    (folder / "target.json").write_text(json.dumps({name: number for number, name in enumerate(names)}))
    more = {"tgt_vocab_file": str(folder / "target.json"), "langs": ["en", "de"], **more}
    return _with_files(hf.FSMTTokenizer, folder, names, merges, ("src_vocab_file", "merges_file"), more)


def _japanese(folder: Path, more: Any) -> Any:
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *_LETTERS]
    (folder / "vocab.txt").write_text("\n".join(names), encoding="utf-8")
    return hf.BertJapaneseTokenizer(
        str(folder / "vocab.txt"), word_tokenizer_type="basic", subword_tokenizer_type="character", **more
    )


def _m2m(folder: Path, more: Any) -> Any:
    pieces = _sentence_pieces(folder)
    names = ["<s>", "<pad>", "</s>", "<unk>", *pieces]
    (folder / "vocab.json").write_text(json.dumps({name: number for number, name in enumerate(names)}))
    # As public models have it in their files: the class itself does not make them special.
    languages = [f"__{code}__" for code in FAIRSEQ_LANGUAGE_CODES["m2m100"]]
    return hf.M2M100Tokenizer(
        str(folder / "vocab.json"), str(folder / "made.model"), src_lang="en", tgt_lang="de",
        additional_special_tokens=languages, **more,
    )  # fmt: skip


def _marian(folder: Path, more: Any) -> Any:
    names = ["</s>", "<unk>", *_sentence_pieces(folder), "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({name: number for number, name in enumerate(names)}))
    spm = str(folder / "made.model")
    return hf.MarianTokenizer(
        source_spm=spm, target_spm=spm, vocab=str(folder / "vocab.json"), source_lang="en", target_lang="de",
        **more,
    )  # fmt: skip


def _mbart(folder: Path, more: Any) -> Any:
    from tests.zoo.tokenizers import tokenizer

    trained = json.loads(tokenizer("xlm-roberta", folder).backend_tokenizer.to_str())["model"]["vocab"]
    vocabulary = [(token, score) for token, score in trained if token != "<mask>"]
    return hf.MBartTokenizer(vocab=vocabulary, src_lang="en_XX", tgt_lang="de_DE", **more)


def _nllb(folder: Path, more: Any) -> Any:
    from tests.zoo.tokenizers import tokenizer

    trained = json.loads(tokenizer("characters unknown", folder).backend_tokenizer.to_str())["model"]
    merges = [tuple(pair) for pair in trained["merges"]]
    codes = ["eng_Latn", "deu_Latn", "fra_Latn"]
    return hf.NllbTokenizer(
        vocab=trained["vocab"], merges=merges, src_lang="eng_Latn", tgt_lang="deu_Latn",
        extra_special_tokens=codes, **more,
    )  # fmt: skip


def _pairs_of_words() -> tuple[list[str], list[tuple[str, str]]]:
    """Tokens and merges of a BPE whose words end in `</w>`; by hand, for the trainer's choice differs by run."""
    words = collections.Counter(word for sentence in SENTENCES for word in sentence.split())
    parts = {word: [*word[:-1], word[-1] + "</w>"] for word in words}
    merges: list[tuple[str, str]] = []
    for _ in range(150):
        counts: collections.Counter[tuple[str, str]] = collections.Counter()
        for word, tokens in parts.items():
            counts.update({pair: words[word] * times for pair, times in _neighbours(tokens).items()})
        merges.append(max(counts, key=lambda pair: (counts[pair], pair)))
        parts = {word: _joined(tokens, merges[-1]) for word, tokens in parts.items()}
    return [*_LETTERS, *(letter + "</w>" for letter in _LETTERS), *(a + b for a, b in merges)], merges


def _neighbours(tokens: list[str]) -> collections.Counter[tuple[str, str]]:
    return collections.Counter(itertools.pairwise(tokens))


def _joined(tokens: list[str], pair: tuple[str, str]) -> list[str]:
    joined: list[str] = []
    for token in tokens:
        if joined and (joined[-1], token) == pair:
            joined[-1] += token
        else:
            joined.append(token)
    return joined


def _with_joints(merges: list[tuple[str, str]]) -> list[str]:
    """The tokens as `@@` writes them: what does not end a word carries the sign."""
    tokens: dict[str, None] = {}
    ends = [letter + "</w>" for letter in _LETTERS]
    for token in [*_LETTERS, *ends, *[a + b for a, b in merges]]:
        tokens[token.removesuffix("</w>") if token.endswith("</w>") else token + "@@"] = None
    return list(tokens)


def _with_files(
    made: Any,
    folder: Path,
    names: list[str],
    merges: list[tuple[str, str]],
    files: tuple[str, str],
    more: Any,
) -> Any:
    vocab_file, merges_file = folder / "vocab.json", folder / "merges.txt"
    vocab_file.write_text(json.dumps({name: number for number, name in enumerate(names)}), encoding="utf-8")
    # Some classes read a first line of their own, all drop the last.
    lines = ["#version: 0.2"] if made is hf.CTRLTokenizer else []
    counts = "" if made is hf.CTRLTokenizer else " 1"
    lines += [f"{left} {right}{counts}" for left, right in merges]
    merges_file.write_text("\n".join([*lines, ""]), encoding="utf-8")
    return made(**{files[0]: str(vocab_file), files[1]: str(merges_file)}, **more)


def _sentence_pieces(folder: Path) -> list[str]:
    """The pieces of a model written to `made.model`, without special ones."""
    (folder / "made.model").write_bytes(_sentencepiece_model())
    return [piece for piece, _score in sentence_pieces()]


def sentence_pieces() -> list[tuple[str, float]]:
    """Pieces of a unigram model with their scores, without special ones."""
    pieces = sentencepiece.SentencePieceProcessor(model_proto=_sentencepiece_model())
    numbers = range(pieces.get_piece_size())
    named = [(pieces.id_to_piece(number), pieces.get_score(number)) for number in numbers]
    return [(name, score) for name, score in named if name not in ("<s>", "</s>", "<unk>")]


@functools.cache
def _sentencepiece_model() -> bytes:
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(SENTENCES * 4),
        model_writer=written,
        vocab_size=200,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    return written.getvalue()


SLOW: Mapping[str, Maker] = {
    "canine: characters, no file": lambda folder, more: hf.CanineTokenizer(**more),
    "prophetnet: slow WordPiece": _prophetnet,
    "bertweet: slow BPE": _bertweet,
    "bert-japanese: slow characters": _japanese,
    "ctrl: slow BPE, no end token": _ctrl,
    "biogpt: slow BPE": _biogpt,
    "xlm: slow BPE": _xlm,
    "fsmt: slow BPE": _fsmt,
    "m2m100: slow sentencepiece": _m2m,
    "marian: slow sentencepiece": _marian,
    "mbart": _mbart,
    "nllb": _nllb,
}
