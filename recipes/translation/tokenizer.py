"""One SentencePiece vocabulary for both sides: every digit by itself, unknown characters as bytes."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import sentencepiece
from transformers import MarianTokenizer

END_ID = 0


def make_tokenizer(sentences: Iterable[str], size: int, out: Path) -> MarianTokenizer:
    """Trains the pieces and writes them as Marian's models have them.

    Args:
        sentences: of both languages.
        size: of the vocabulary, with the 256 bytes and the padding.
        out: the folder.
    """
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        prefix = Path(folder) / "joint"
        # What is left to bytes is rare; "nmt_nfkc" would turn "…" into "..." and "½" into "1/2".
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sentences), model_prefix=str(prefix), vocab_size=size - 1,
            model_type="unigram", character_coverage=0.9998, byte_fallback=True, split_digits=True,
            normalization_rule_name="identity", bos_id=-1, eos_id=END_ID, unk_id=1, pad_id=-1,
            minloglevel=2, num_threads=2,
        )  # fmt: skip
        for side in ("source", "target"):
            shutil.copy(prefix.with_suffix(".model"), out / f"{side}.spm")
    pieces = read_pieces(out)
    vocabulary = {pieces.id_to_piece(i): i for i in range(len(pieces))} | {"<pad>": len(pieces)}
    (out / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False, indent=0), encoding="utf-8")
    tokenizer = MarianTokenizer(
        source_spm=str(out / "source.spm"), target_spm=str(out / "target.spm"), vocab=str(out / "vocab.json"),
        source_lang="en", target_lang="de", model_max_length=512,
    )  # fmt: skip
    tokenizer.save_pretrained(out)
    return tokenizer


def read_pieces(folder: Path) -> sentencepiece.SentencePieceProcessor:
    """The pieces alone: the same ids as the tokenizer's, and several ways to cut a word."""
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "source.spm"))
