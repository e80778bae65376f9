"""Recipe: English sentiment, positive or negative, with a calibrated score.

    python -m recipes.sentiment --data DIR --out FOLDER
    python -m recipes.sentiment --csv my.csv --text-column text --label-column label --out my-model

MiniLM is fine-tuned on comments, reviews and sentences of our own grammars
(`recipes/sentiment_rows.py`), as `recipes/sentiment_course.py` says; the score is
calibrated on dev rows by one temperature, which is folded into the last layer. Its card is
written when it is installed (`recipes/measure.py`, `recipes/install.py`). On a machine
without the data sets it is trained from a packed folder (`recipes/pack.py`):

    python -m recipes.sentiment --packed FOLDER --out WEIGHTS --seconds 50
    python -m recipes.sentiment --packed FOLDER --from-weights WEIGHTS --out FOLDER
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification
from transformers.utils import logging as hf_logging

from recipes import sentiment_course, sentiment_pack
from recipes.card import save_model, write_card
from recipes.classifier import (
    Course,
    Examples,
    accuracy,
    divide_head,
    examples_of,
    fit,
    logits_of,
    temperature_of,
)
from recipes.encoder import encoder_folder
from recipes.goemotions import Labelled
from recipes.own_rows import read_csv
from recipes.pieces import load_pieces, save_pieces
from recipes.start import save_start

_LEAST_STEPS = 300  # fewer do not fit a new head, however few the rows


def main() -> None:
    """Trains, calibrates, evaluates, and writes the folder."""
    options = _options()
    hf_logging.set_verbosity_error()  # a head that is not trained yet is no news here
    hf_logging.disable_progress_bar()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.csv:
        figures = _own_model(options)
    elif options.packed:
        figures = _bundled_model(options, options.packed)
    else:
        with tempfile.TemporaryDirectory(prefix="textmill-sentiment-") as folder:
            packed = Path(folder)
            old_ids = sentiment_pack.pack(
                options.data, packed, vocabulary=options.vocabulary, seed=options.seed
            )
            save_start(packed, {"sentiment": old_ids})
            figures = _bundled_model(options, packed)
    print(json.dumps(figures, indent=1))


def _bundled_model(options: Any, packed: Path) -> dict[str, Any]:
    """Trains, or takes weights from elsewhere; writes a model folder, or with `--seconds` weights alone."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, tokenizer, material = sentiment_pack.unpack(packed, device, seed=options.seed)
    if options.from_weights:
        load_pieces(model, options.from_weights, "sentiment")
        trained = json.loads((options.from_weights / "sentiment.json").read_text())
    else:
        trained = sentiment_course.run(
            model, material, seed=options.seed, seconds=options.seconds, checkpoint=options.checkpoint
        )
    if options.seconds is not None:  # before anything else: what is trained is kept
        save_pieces(model, options.out, "sentiment")
    figures: dict[str, Any] = {**trained, **sentiment_course.measure(model, material.measured)}
    name = "sentiment.json" if options.seconds is not None else "metrics.json"
    (options.out / name).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if options.seconds is None:
        save_model(model.cpu(), tokenizer, options.out)
    return figures


def _own_model(options: Any) -> dict[str, float]:
    """Fine-tunes on a user's rows; every word piece is kept, for few rows know few words."""
    names, rows = read_csv(options.csv, options.text_column, options.label_column)
    print(", ".join(f"{len(part):,} rows to {name}" for name, part in rows.items()), flush=True)
    tokenizer = sentiment_pack.whole_tokenizer(options.out)
    torch.manual_seed(options.seed)
    model = AutoModelForSequenceClassification.from_pretrained(
        encoder_folder(), num_labels=len(names), id2label=dict(enumerate(names)),
        label2id={n: i for i, n in enumerate(names)}, dtype=torch.float32,
    )  # fmt: skip
    sets = {name: _encoded(tokenizer, part, len(names)) for name, part in rows.items()}
    fit(model, sets["train"], _own_course(options, sets["train"]), checkpoint=options.checkpoint)
    temperature = temperature_of([(logits_of(model, sets["dev"].texts), sets["dev"].targets.argmax(-1))])
    divide_head(model.classifier, temperature)
    known = [row.label for row in rows["test"]]
    figures = {
        "accuracy_dev": accuracy(model, sets["dev"]),
        "accuracy_test": accuracy(model, sets["test"]),
        "majority_baseline_test": max(map(known.count, set(known))) / len(known),
        "temperature": temperature,
    }
    save_model(model, tokenizer, options.out)
    (options.out / "metrics.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    sizes = {f"num_{name}": len(part) for name, part in rows.items()}
    write_card(
        options.out, "own", figures | sizes, model=options.out.name, labels=", ".join(names),
        source=options.csv.name, seed=str(options.seed),
    )  # fmt: skip
    return figures


def _own_course(options: Any, examples: Examples) -> Course:
    # A small set is cut into some thirty batches all the same; one batch an epoch would be no descent.
    size = sum(examples.texts.lengths)
    return Course(
        seed=options.seed, batch_tokens=min(2048, max(256, size // 30)), learning_rate=1e-4,
        epochs=options.epochs, least_steps=_LEAST_STEPS,
    )  # fmt: skip


def _encoded(tokenizer: Any, rows: list[Labelled], num_labels: int) -> Examples:
    labels = torch.tensor([row.label for row in rows])
    targets = torch.nn.functional.one_hot(labels, num_labels).float()
    return examples_of(tokenizer, [row.text for row in rows], targets)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, help="folder that holds goemotions/ and nltk-sentiment/")
    source.add_argument("--packed", type=Path, help="folder that `recipes.pack` wrote, instead")
    source.add_argument("--csv", type=Path, help="your own labelled rows instead")
    parser.add_argument("--text-column", default="text")
    parser.add_argument("--label-column", default="label")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--from-weights", type=Path, help="install these instead of training (--packed)")
    parser.add_argument(
        "--seconds", type=float, help="train about so long, and write weights alone (--packed)"
    )
    parser.add_argument(
        "--epochs", type=float, default=2.0, help="of a CSV: at least; few rows are seen more often"
    )
    parser.add_argument(
        "--vocabulary", type=int, default=8000, help="word pieces kept; of a CSV's model all are"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--checkpoint", type=Path, help="resume from and save to this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
