"""Recipe: English prose, a small GPT-2 from scratch with its own byte-level BPE.

python -m recipes.generation --data DIR --out models/bundled/generation
"""

from __future__ import annotations

import argparse
import json
import math
import random
from pathlib import Path
from typing import Any

import torch
from tokenizers import ByteLevelBPETokenizer
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel, GPT2Tokenizer

from recipes.books import read_books
from recipes.card import save_model, write_card
from recipes.ngram import KneserNey, words_of
from recipes.training import Batch, Schedule, train

_END = "<|endoftext|>"
_BLOCK_TOKENS = 512
#: Without one every text of 128 tokens ends in a loop; chosen by `python -m benchmarks.decoding_defaults`.
_REPETITION_PENALTY = 1.2
_PROMPTS = (
    "Once upon a time there was a little girl who", "The old man opened the door and", "I enjoy walking with my cute dog",
    "\"Where are you going?\" asked the fox.", "It was a cold winter's night, and the snow",
    "The queen looked into the mirror and said,", "In the middle of the forest stood a house", "The children ran down to the sea",
    "There was once a poor fisherman", "When the morning came, the prince",
)  # fmt: skip


def main() -> None:
    """Trains tokenizer and model, evaluates, samples, and writes the folder."""
    options = _options()
    books = read_books(options.data, "train")
    options.out.mkdir(parents=True, exist_ok=True)
    tokenizer = make_tokenizer(books, options.vocabulary, options.out)
    torch.manual_seed(options.seed)
    model = GPT2LMHeadModel(config_for(tokenizer, options))
    model.generation_config = GenerationConfig(
        max_new_tokens=128, eos_token_id=tokenizer.eos_token_id, bos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id, repetition_penalty=_REPETITION_PENALTY,
    )  # fmt: skip
    tokens = token_stream(tokenizer, books)
    print(f"{len(tokens):,} tokens, {sum(p.numel() for p in model.parameters()):,} parameters", flush=True)
    _fit(model, tokens, options)
    figures = evaluate(model, tokenizer, options.data)
    save_model(model, tokenizer, options.out)
    (options.out / "metrics.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    write_card(options.out, "generation", figures, samples=_samples(model, tokenizer))
    print(json.dumps(figures, indent=1))


def make_tokenizer(books: list[str], size: int, out: Path) -> GPT2Tokenizer:
    """A byte-level BPE: every string has a spelling, nothing is unknown."""
    trainer = ByteLevelBPETokenizer()
    trainer.train_from_iterator(
        books, vocab_size=size, min_frequency=2, special_tokens=[_END], show_progress=False
    )
    tokenizer = GPT2Tokenizer(
        tokenizer_object=trainer._tokenizer,
        eos_token=_END,
        bos_token=_END,
        unk_token=_END,
        model_max_length=_BLOCK_TOKENS,
    )
    tokenizer.save_pretrained(out)
    return tokenizer


def config_for(tokenizer: Any, options: Any) -> GPT2Config:
    """Six layers of width 288: about 8 M parameters."""
    return GPT2Config(
        vocab_size=len(tokenizer), n_positions=_BLOCK_TOKENS, n_embd=options.width, n_layer=options.layers,
        n_head=options.width // 48, resid_pdrop=options.dropout, embd_pdrop=options.dropout, attn_pdrop=0.0,
        activation_function="gelu_pytorch_tanh",  # the same function as GPT-2's, in one kernel
        bos_token_id=tokenizer.eos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip


def token_stream(tokenizer: Any, books: list[str]) -> Tensor:
    """All books in one row, an end mark after each."""
    ids: list[int] = []
    for encoded in tokenizer(books)["input_ids"]:
        ids += [*encoded, tokenizer.eos_token_id]
    return torch.tensor(ids)


def evaluate(model: GPT2LMHeadModel, tokenizer: Any, data: Path) -> dict[str, float]:
    """Perplexity per word on held-out books, beside a 5-gram model of the same training text.

    Both spread their whole log-probability over the same words, so a smaller token does
    not flatter the neural model. The 5-gram model scores an unknown word as one symbol,
    which favours it.
    """
    held_out = "\n".join(read_books(data, "test"))
    words = words_of(held_out)
    baseline = KneserNey(words_of("\n".join(read_books(data, "train"))))
    return {
        "test_words": len(words),
        "perplexity_per_word": math.exp(-_log_probability(model, tokenizer, held_out) / len(words)),
        "five_gram_perplexity": math.exp(-baseline.log_probability(words) / len(words)),
    }


@torch.inference_mode()
def _log_probability(model: GPT2LMHeadModel, tokenizer: Any, text: str) -> float:
    model.eval()
    ids = torch.tensor(tokenizer(text)["input_ids"])
    total, overlap = 0.0, _BLOCK_TOKENS // 2  # each token sees at least half a block of context
    for start in range(0, len(ids) - 1, overlap):
        block = ids[start : start + _BLOCK_TOKENS][None]
        scores = torch.log_softmax(model(block).logits[0, :-1].float(), dim=-1)
        chosen = scores.gather(1, block[0, 1:, None])[:, 0]
        total += float(chosen.sum() if start == 0 else chosen[overlap - 1 :].sum())
        if start + _BLOCK_TOKENS >= len(ids):
            break
    return total


def _samples(model: GPT2LMHeadModel, tokenizer: Any) -> str:
    parts = []
    for i, prompt in enumerate(_PROMPTS):
        torch.manual_seed(i)
        encoded = tokenizer(prompt, return_tensors="pt")
        produced = model.generate(
            **encoded, max_new_tokens=60, do_sample=True, temperature=0.8, top_p=0.95, repetition_penalty=1.0
        )
        text = tokenizer.decode(produced[0], skip_special_tokens=True).replace("\n", " / ")
        parts.append(f"{i + 1}. **{prompt}**{text[len(prompt) :]}")
    return "\n".join(parts)


def _fit(model: GPT2LMHeadModel, tokens: Tensor, options: Any) -> None:
    rows = options.batch_tokens // _BLOCK_TOKENS
    steps = int(options.epochs * len(tokens) / options.batch_tokens)
    schedule = Schedule(
        steps=steps,
        learning_rate=2e-3,
        matrix_learning_rate=3e-3,
        warmup_steps=100,
        weight_decay=0.1,
        seed=options.seed,
    )

    def batch_at(step: int) -> Batch:
        draw = random.Random(f"{options.seed}:{step}")
        starts = [draw.randrange(len(tokens) - _BLOCK_TOKENS) for _ in range(rows)]
        return {"input_ids": torch.stack([tokens[s : s + _BLOCK_TOKENS] for s in starts])}

    loss_of = torch.compile(_loss_of) if options.compile else _loss_of
    train(model, batch_at, loss_of, schedule, checkpoint=options.checkpoint)


def _loss_of(model: Any, batch: Batch) -> Tensor:
    hidden = model.transformer(input_ids=batch["input_ids"], use_cache=False)[0][:, :-1]
    return cross_entropy(model.lm_head(hidden).flatten(0, 1), batch["input_ids"][:, 1:].flatten())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with chilit/ and fairytaleqa/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=float, default=3.0)
    parser.add_argument("--vocabulary", type=int, default=7000)
    parser.add_argument("--width", type=int, default=288)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--dropout", type=float, default=0.0, help="for more than four epochs or so")
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="a third faster; needs a C++ compiler")
    parser.add_argument("--checkpoint", type=Path, help="resume from and save to this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
