"""Which decoding reads well: the generation model by transformers, under one set of defaults after another.

    python -m benchmarks.decoding_defaults --data DIR [--prompts 64]

Prompts are openings of sentences in a book of the dev split. For each set of defaults:
the share of repeated word 4-grams, the share of texts that loop, and two perplexities,
of a word 5-gram model (is it English?) and of the model itself (does it follow from what
stands before it?). A loop has a low perplexity, so repetition is read first.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from benchmarks.repetition import is_loop, repeated_share
from recipes.books import read_books
from recipes.ngram import KneserNey, words_of

_MODEL = Path("models/bundled/generation")
_PROMPT_WORDS = 12
_NEW_TOKENS = 128  # the bundled model's own default
_SAMPLED = {"do_sample": True, "top_k": 0, "top_p": 0.95}
_CHOICES: tuple[dict[str, Any], ...] = (
    {},
    *({"repetition_penalty": penalty} for penalty in (1.1, 1.15, 1.2, 1.3)),
    *({"no_repeat_ngram_size": size} for size in (3, 4)),
    {"repetition_penalty": 1.1, "no_repeat_ngram_size": 4},
    {"num_beams": 3, "no_repeat_ngram_size": 3},
    *({**_SAMPLED, "temperature": temperature} for temperature in (0.6, 0.8, 1.0)),
    {**_SAMPLED, "temperature": 0.8, "repetition_penalty": 1.1},
)


def main() -> None:
    """Prints a JSON line for each set of defaults."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.decoding_defaults", description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder with chilit/ and fairytaleqa/")
    parser.add_argument("--prompts", type=int, default=64)
    options = parser.parse_args()
    prompts = _openings(options.data, options.prompts)
    judge = KneserNey(words_of("\n".join(read_books(options.data, "train"))))
    tokenizer = AutoTokenizer.from_pretrained(_MODEL, padding_side="left")
    tokenizer.pad_token = tokenizer.eos_token
    model = AutoModelForCausalLM.from_pretrained(_MODEL, dtype=torch.float32).eval()
    for choice in _CHOICES:
        rows = _continue(model, tokenizer, prompts, choice)
        print(json.dumps({"defaults": choice, **_figures(model, tokenizer, judge, rows)}), flush=True)


def _openings(data: Path, count: int) -> list[str]:
    lines = [line.split() for book in read_books(data, "dev") for line in book.splitlines()]
    openings = [" ".join(words[:_PROMPT_WORDS]) for words in lines if len(words) >= 2 * _PROMPT_WORDS]
    return random.Random(1).sample(openings, count)


@torch.inference_mode()
def _continue(
    model: Any, tokenizer: Any, prompts: Sequence[str], choice: dict[str, Any]
) -> list[tuple[list[int], list[int]]]:
    """Token ids of each prompt and of what follows it."""
    batch = tokenizer(prompts, padding=True, return_tensors="pt")
    torch.manual_seed(1)
    produced = model.generate(
        **batch, **{"repetition_penalty": 1.0, **choice}, max_new_tokens=_NEW_TOKENS, pad_token_id=0
    )
    width = batch["input_ids"].shape[1]
    rows = []
    for ids, mask, row in zip(batch["input_ids"], batch["attention_mask"], produced, strict=True):
        new = row[width:].tolist()
        stop = new.index(tokenizer.eos_token_id) if tokenizer.eos_token_id in new else len(new)
        rows.append((ids[mask.bool()].tolist(), new[:stop]))
    return rows


@torch.inference_mode()
def _figures(
    model: Any, tokenizer: Any, judge: KneserNey, rows: Sequence[tuple[list[int], list[int]]]
) -> dict[str, float]:
    texts = [words_of(tokenizer.decode(new)) for _, new in rows]
    own, tokens = 0.0, 0
    for prompt, new in rows:
        scores = torch.log_softmax(model(torch.tensor([prompt + new])).logits[0, :-1].float(), dim=-1)
        chosen = scores.gather(1, torch.tensor([*prompt[1:], *new])[:, None])[len(prompt) - 1 :]
        own, tokens = own + float(chosen.sum()), tokens + len(new)
    words = sum(map(len, texts))
    return {
        "repeated_4_grams": round(sum(map(repeated_share, texts)) / len(texts), 4),
        "texts_that_loop": round(sum(map(is_loop, texts)) / len(texts), 3),
        "own_perplexity_per_token": round(math.exp(-own / tokens), 1),
        "five_gram_perplexity_per_word": round(math.exp(-sum(map(judge.log_probability, texts)) / words), 1),
        "words": words,
    }


if __name__ == "__main__":
    main()
