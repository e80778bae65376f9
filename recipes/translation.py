"""Recipe: English to German, a small Marian model from scratch.

python -m recipes.translation --data DIR --out models/bundled/translation
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import sacrebleu
import sentencepiece
import torch
from torch import Tensor, nn
from transformers import GenerationConfig, MarianConfig, MarianMTModel, MarianTokenizer

from recipes.batching import BucketedBatches
from recipes.card import save_model, write_card
from recipes.tatoeba import read_pairs, references
from recipes.training import Batch, Schedule, train

_DROPOUT = 0.1  # in the first half of the training
_MAX_TOKENS = 128


def main() -> None:
    """Trains tokenizer and model, evaluates, and writes the folder."""
    options = _options()
    pairs = read_pairs(options.data, "train")
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(pairs, options.vocabulary, options.out)
    torch.manual_seed(options.seed)
    model = MarianMTModel(config_for(tokenizer))
    print(f"{len(pairs)} pairs, {sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    model.generation_config = GenerationConfig(
        max_new_tokens=256, num_beams=4, early_stopping=True, pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id, decoder_start_token_id=tokenizer.pad_token_id,
        forced_eos_token_id=None, bad_words_ids=[[tokenizer.pad_token_id]],
    )  # fmt: skip
    _fit(model, tokenizer, pairs, options)
    figures = evaluate(model, tokenizer, options.data)
    save_model(model, tokenizer, options.out)
    (options.out / "metrics.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    write_card(options.out, "translation", figures)
    print(json.dumps(figures, indent=1))


def make_tokenizer(pairs: list[tuple[str, str]], size: int, out: Path) -> MarianTokenizer:
    """One SentencePiece vocabulary for both sides, laid out as Marian's models have it."""
    with tempfile.TemporaryDirectory() as folder:
        prefix = Path(folder) / "joint"
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=(s for pair in pairs for s in pair), model_prefix=str(prefix), vocab_size=size - 1,
            model_type="unigram", character_coverage=0.9998, bos_id=-1, eos_id=0, unk_id=1, pad_id=-1,
            minloglevel=2, num_threads=2,
        )  # fmt: skip
        for side in ("source", "target"):
            shutil.copy(prefix.with_suffix(".model"), out / f"{side}.spm")
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(out / "source.spm"))
    vocabulary = {pieces.id_to_piece(i): i for i in range(len(pieces))} | {"<pad>": len(pieces)}
    (out / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False, indent=0), encoding="utf-8")
    tokenizer = MarianTokenizer(
        source_spm=str(out / "source.spm"), target_spm=str(out / "target.spm"), vocab=str(out / "vocab.json"),
        source_lang="en", target_lang="de", model_max_length=512,
    )  # fmt: skip
    tokenizer.save_pretrained(out)
    return tokenizer


def config_for(tokenizer: Any) -> MarianConfig:
    """Four encoder and three decoder layers of width 256; the decoder is run per token, so it is the shorter."""
    config = MarianConfig(
        vocab_size=len(tokenizer), d_model=256, encoder_layers=4, decoder_layers=3, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=1024, decoder_ffn_dim=1024, max_position_embeddings=512,
        activation_function="relu", dropout=_DROPOUT, scale_embedding=True,
        share_encoder_decoder_embeddings=True, tie_word_embeddings=True, pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id, decoder_start_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    # Read by our translation engine: trained on single sentences, it is given one at a time.
    config.max_joined_tokens = 0
    return config


@torch.inference_mode()
def evaluate(model: MarianMTModel, tokenizer: Any, data: Path, *, split: str = "test") -> dict[str, float]:
    """BLEU over the distinct English sentences of the split, against all their translations."""
    model.eval()
    wanted = references(read_pairs(data, split))  # type: ignore[arg-type]
    sources = sorted(wanted, key=len)
    produced: list[str] = []
    for start in range(0, len(sources), 64):
        batch = tokenizer(sources[start : start + 64], padding=True, return_tensors="pt")
        produced += tokenizer.batch_decode(model.generate(**batch), skip_special_tokens=True)
    depth = max(len(r) for r in wanted.values())
    columns = [[(wanted[s] + [""] * depth)[i] for s in sources] for i in range(depth)]
    return {
        "test_sentences": len(sources),
        "bleu": sacrebleu.corpus_bleu(produced, columns).score,
        "bleu_one_reference": sacrebleu.corpus_bleu(produced, [[wanted[s][0] for s in sources]]).score,
        "chrf": sacrebleu.corpus_chrf(produced, columns).score,
        "bleu_of_copying": sacrebleu.corpus_bleu(sources, columns).score,
    }


def _fit(model: MarianMTModel, tokenizer: Any, pairs: list[tuple[str, str]], options: Any) -> None:
    sources = tokenizer([en for en, _ in pairs], truncation=True, max_length=_MAX_TOKENS)["input_ids"]
    targets = tokenizer(text_target=[de for _, de in pairs], truncation=True, max_length=_MAX_TOKENS)[
        "input_ids"
    ]
    lengths = [max(len(s), len(t)) for s, t in zip(sources, targets, strict=True)]
    batches = BucketedBatches(lengths, max_tokens=8192, seed=options.seed, pool=16_384)
    schedule = Schedule(
        steps=int(options.epochs * batches.steps_per_epoch),
        learning_rate=1.5e-3,
        warmup_steps=600,
        seed=options.seed,
    )
    pad = tokenizer.pad_token_id
    last_with_dropout = schedule.steps // 2

    def batch_at(step: int) -> Batch:
        # torch draws random numbers on one core: with dropout a step takes 3.5 s, without 1.9.
        _set_dropout(model, _DROPOUT if step < last_with_dropout else 0.0)
        rows = batches.at(step)
        labels = _padded([targets[i] for i in rows], pad)
        start = torch.full((len(rows), 1), pad)  # Marian decodes from the padding token
        inputs = _padded([sources[i] for i in rows], pad)
        return {
            "input_ids": inputs,
            "attention_mask": (inputs != pad).long(),
            "decoder_input_ids": torch.cat([start, labels[:, :-1]], dim=1),
            "labels": labels,
        }

    def loss_of(network: nn.Module, batch: Batch) -> Tensor:
        labels = batch.pop("labels")
        logits = network(**batch, use_cache=False).logits  # (rows, tokens, vocabulary)
        return nn.functional.cross_entropy(
            logits.flatten(0, 1).float(), labels.flatten(), ignore_index=pad, label_smoothing=0.1
        )

    train(model, batch_at, loss_of, schedule, checkpoint=options.checkpoint)


def _set_dropout(model: MarianMTModel, probability: float) -> None:
    for module in model.modules():
        if isinstance(getattr(module, "dropout", None), float):
            module.dropout = probability  # type: ignore[assignment]


def _padded(rows: list[list[int]], pad: int) -> Tensor:
    longest = max(len(row) for row in rows)
    return torch.tensor([row + [pad] * (longest - len(row)) for row in rows])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with tatoeba-en-de/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=float, default=7.0)
    parser.add_argument("--vocabulary", type=int, default=7000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--checkpoint", type=Path, help="resume from and save to this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
