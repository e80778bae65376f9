"""Recipe: English to German, a small Marian model from scratch.

    python -m recipes.translation --data DIR --out models/bundled/translation [--seconds 130]
    python -m recipes.translation --data DIR --from-weights FOLDER --out models/bundled/translation

The first trains and writes the folder; the second writes it of weights that were trained elsewhere.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import time
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from transformers import MarianMTModel, MarianTokenizer

from recipes.translation import slots
from recipes.translation.architecture import decoding_for, untrained
from recipes.translation.corpora import SETS, Pair, sets_aside, training_pairs
from recipes.translation.editions import editions
from recipes.translation.evaluation import scores_of
from recipes.translation.fit import Plan, fit
from recipes.translation.folder import save_parts, write_folder, write_metrics
from recipes.translation.tokenizer import make_tokenizer

_PHRASES_IN_VOCABULARY = 8000


def main() -> None:
    """Trains or takes weights, and writes the folder."""
    options = _options()
    if options.from_weights:
        tokenizer = MarianTokenizer.from_pretrained(options.from_weights)
        model = MarianMTModel.from_pretrained(options.from_weights, dtype=torch.float32).eval()
        facts = json.loads((options.from_weights / "training.json").read_text(encoding="utf-8"))
    else:
        model, tokenizer, facts = _trained(options)
        save_parts(model, tokenizer, facts, options.parts or options.out)
    model.generation_config = decoding_for(tokenizer)
    sets = sets_aside(options.data, options.sets)
    figures: dict[str, Any] = {
        **facts,
        **scores_of(model, tokenizer, sets, most=options.sentences, batch=options.batch),
    }
    if options.parts:
        write_metrics(figures, options.parts)
    else:
        write_folder(model, tokenizer, figures, options.out)


def _trained(options: argparse.Namespace) -> tuple[MarianMTModel, MarianTokenizer, dict[str, Any]]:
    pairs = training_pairs(options.data)
    tokenizer = _tokenizer(pairs, options)
    # Its processes are forked by the first edition, before torch has threads.
    made = editions(pairs, options.tokenizer or options.out, seed=options.seed, processes=options.processes)
    first = next(made)
    print(
        f"{len(pairs)} pairs; an edition has {len(first[0].lengths)} rows, {len(first[1].tokens):,} target tokens"
    )
    torch.manual_seed(options.seed)
    model = untrained(tokenizer).to(_device(options.device))  # type: ignore[arg-type]
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters on {model.device}", flush=True)
    plan = Plan(
        seconds=options.seconds, steps=options.steps, max_tokens=options.max_tokens, seed=options.seed,
        learning_rate=options.learning_rate,
    )  # fmt: skip
    started = time.monotonic()
    steps = fit(model, chain([first], made), plan)
    made.close()
    facts = {
        "training_pairs": len(pairs), "steps": steps, "batch_tokens": plan.max_tokens, "seed": plan.seed,
        "training_seconds": round(time.monotonic() - started), "device": _name(model.device),
    }  # fmt: skip
    print(json.dumps(facts), flush=True)
    return model, tokenizer, facts


def _tokenizer(pairs: list[Pair], options: argparse.Namespace) -> MarianTokenizer:
    if options.tokenizer:
        found: MarianTokenizer = MarianTokenizer.from_pretrained(options.tokenizer)
        return found
    draw = random.Random(options.seed)
    phrases = [slots.filled(draw.choice(slots.phrases()), draw) for _ in range(_PHRASES_IN_VOCABULARY)]
    sentences = [sentence for pair in chain(dict.fromkeys(pairs), phrases) for sentence in pair]
    return make_tokenizer(sentences, options.vocabulary, options.out)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def _name(device: torch.device) -> str:
    return (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{torch.get_num_threads()} CPU cores"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with tatoeba-en-de/, ntrex/, tldr/, xquad/"
    )
    parser.add_argument("--out", type=Path, required=True, help="the model's folder")
    parser.add_argument("--from-weights", type=Path, help="trained elsewhere, with --parts")
    parser.add_argument("--parts", type=Path, help="write parts there, to be handed on, and not the folder")
    parser.add_argument("--tokenizer", type=Path, help="a folder with one; by default it is trained")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--seconds", type=float, help="train by the clock")
    length.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--learning-rate", type=float, default=Plan.learning_rate)
    parser.add_argument("--max-tokens", type=int, default=Plan.max_tokens, help="of a batch and a side")
    parser.add_argument("--vocabulary", type=int, default=4000)
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="that make editions")
    parser.add_argument("--sentences", type=int, default=10**6, help="of a test set, about")
    parser.add_argument("--sets", nargs="*", default=SETS, choices=SETS, help="to evaluate with")
    parser.add_argument("--batch", type=int, default=64, help="sentences, in the evaluation")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


if __name__ == "__main__":
    main()
