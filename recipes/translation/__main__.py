"""Recipe: English to German, a small Marian model from scratch.

    python -m recipes.translation --data DIR --work FOLDER [--steps 40000] [--out models/bundled/translation]
    python -m recipes.translation --data DIR --work FOLDER --pack --out models/bundled/translation

The first trains, and goes on where it was stopped; the file `end-soon` in the work folder makes it come
to its end. The second writes the model's folder of what the work folder has, at any time.
"""

from __future__ import annotations

import argparse
import json
import os
import random
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from transformers import MarianMTModel, MarianTokenizer

from recipes.translation import slots
from recipes.translation.architecture import decoding_for, untrained
from recipes.translation.batches import Batch, Position, batches_of_all
from recipes.translation.corpora import SETS, Pair, sets_aside, training_pairs
from recipes.translation.editions import editions
from recipes.translation.evaluation import scores_of
from recipes.translation.examination import Examination
from recipes.translation.fit import CHECKPOINT, fit
from recipes.translation.folder import save_parts, write_folder
from recipes.translation.plan import Plan
from recipes.translation.state import State, saved_position
from recipes.translation.tokenizer import make_tokenizer

_PHRASES_IN_VOCABULARY = 8000
_TOKENIZER, _WEIGHTS = "tokenizer", "weights"


def main() -> None:
    """Trains; writes the folder."""
    options = _options()
    if not options.pack:
        _train(options)
    if options.out is None:
        return
    weights = options.work / _WEIGHTS
    tokenizer = MarianTokenizer.from_pretrained(weights)
    model = MarianMTModel.from_pretrained(weights, dtype=torch.float32).eval()
    model.generation_config = decoding_for(tokenizer)
    facts = json.loads((weights / "training.json").read_text(encoding="utf-8"))
    sets = sets_aside(options.data, options.sets)
    found = scores_of(model, tokenizer, sets, most=options.sentences, batch=options.batch)
    write_folder(model, tokenizer, {**facts, **found}, options.out)


def _train(options: argparse.Namespace) -> None:
    pairs = training_pairs(options.data)
    tokenizer = _tokenizer(pairs, options)
    device = _device(options.device)
    plan = Plan(steps=options.steps, decay_steps=options.decay_steps, seed=options.seed)
    position = saved_position(options.work / CHECKPOINT)
    # Its processes are forked by the first edition, before torch has threads.
    made = editions(
        pairs, options.work / _TOKENIZER, seed=plan.seed, processes=options.processes, first=position.edition
    )
    first = next(made)
    print(
        f"{len(pairs)} pairs; an edition has {len(first[0].lengths)} rows, {len(first[1].tokens):,} target tokens"
    )
    torch.manual_seed(plan.seed)
    model = untrained(tokenizer).to(device)  # type: ignore[arg-type]
    model.generation_config = decoding_for(tokenizer)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters on {model.device}", flush=True)

    def batches_from(begin: Position) -> Iterator[Batch]:
        return batches_of_all(
            chain([first], made), begin, max_tokens=plan.max_tokens, seed=plan.seed,
            pad=tokenizer.pad_token_id, device=device,
        )  # fmt: skip

    examination = Examination(options.data, tokenizer, options.work)

    def examine(state: State) -> None:
        examination(state)
        save_parts(state.averaged, tokenizer, _facts(pairs, state, plan), options.work / _WEIGHTS)

    fit(State(model, plan), batches_from, plan, options.work, examine=examine, compiled=options.compile)
    made.close()


def _facts(pairs: list[Pair], state: State, plan: Plan) -> dict[str, Any]:
    return {
        "training_pairs": len(pairs), "steps": state.step, "batch_tokens": plan.max_tokens * plan.batches_a_step,
        "seed": plan.seed, "training_seconds": round(state.seconds), "device": _name(state.model.device),
    }  # fmt: skip


def _tokenizer(pairs: list[Pair], options: argparse.Namespace) -> MarianTokenizer:
    folder = options.work / _TOKENIZER
    if (folder / "vocab.json").exists():
        found: MarianTokenizer = MarianTokenizer.from_pretrained(folder)
        return found
    draw = random.Random(options.seed)
    phrases = [slots.filled(draw.choice(slots.phrases()), draw) for _ in range(_PHRASES_IN_VOCABULARY)]
    sentences = [sentence for pair in chain(dict.fromkeys(pairs), phrases) for sentence in pair]
    return make_tokenizer(sentences, options.vocabulary, folder)


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
    parser.add_argument("--work", type=Path, required=True, help="folder of checkpoints, weights, the log")
    parser.add_argument("--out", type=Path, help="the model's folder")
    parser.add_argument("--pack", action="store_true", help="do not train: write --out of what there is")
    parser.add_argument("--steps", type=int, default=Plan.steps, help="at most, with the decay")
    parser.add_argument("--decay-steps", type=int, help="by default a fifth of all steps")
    parser.add_argument("--compile", action="store_true", help="needs a C++ compiler")
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
