"""Recipe: English sentiment, positive or negative, with a calibrated score.

    python -m recipes.sentiment --data DIR --out models/bundled/sentiment
    python -m recipes.sentiment --csv my.csv --text-column text --label-column label --out my-model

MiniLM is fine-tuned on GoEmotions and on review sentences of our own grammar; the
score is calibrated on the dev split by one temperature (Guo et al., 2017), which is
folded into the last layer so that nothing extra is needed to serve the model.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoModelForSequenceClassification, PreTrainedTokenizerBase
from transformers.utils import logging as hf_logging

from recipes.batching import BucketedBatches
from recipes.card import save_model, write_card
from recipes.encoder import encoder_folder, prune_embeddings, prune_tokenizer
from recipes.goemotions import Labelled, read_goemotions
from recipes.review_grammar import review_sentences
from recipes.splits import split_of
from recipes.training import Batch, Schedule, train

_MAX_TOKENS = 128
_BUNDLED_VOCABULARY = 8000
_LEAST_STEPS = 300  # fewer do not fit a new head, however few the rows
_USE = {"train": "train on", "dev": "calibrate on", "test": "test on", "reviews": "test reviews on"}


def main() -> None:
    """Trains, calibrates, evaluates, and writes the folder."""
    options = _options()
    hf_logging.set_verbosity_error()  # a head that is not trained yet is no news here
    hf_logging.disable_progress_bar()
    names, rows = _read(options)
    print(", ".join(f"{len(part):,} rows to {_USE[name]}" for name, part in rows.items()), flush=True)
    # Few rows know few words: only a model whose size counts is cut down to what it was trained on.
    size = options.vocabulary or (_BUNDLED_VOCABULARY if options.data else None)
    tokenizer, old_ids = prune_tokenizer(
        encoder_folder(), (r.text for r in rows["train"]), size=size, out=options.out
    )
    model = AutoModelForSequenceClassification.from_pretrained(
        encoder_folder(), num_labels=len(names), id2label=dict(enumerate(names)),
        label2id={n: i for i, n in enumerate(names)}, dtype=torch.float32,
    )  # fmt: skip
    prune_embeddings(model, old_ids)
    _fit(model, tokenizer, rows["train"], options)
    temperature = calibrate(model, tokenizer, rows["dev"])
    with torch.no_grad():
        for parameter in model.classifier.parameters():
            parameter.div_(temperature)
    figures = {**measure(model, tokenizer, rows), "temperature": temperature}
    save_model(model, tokenizer, options.out)
    (options.out / "metrics.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    _write_card(options, names, rows, figures)
    print(json.dumps(figures, indent=1))


def measure(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, rows: dict[str, list[Labelled]]
) -> dict[str, float]:
    """Accuracies on all rows that were not trained on, and of the most frequent label on the test rows."""
    accuracies = {
        f"accuracy_{name}": accuracy(model, tokenizer, part) for name, part in rows.items() if name != "train"
    }
    labels = [row.label for row in rows["test"]]
    return {**accuracies, "majority_baseline_test": max(map(labels.count, set(labels))) / len(labels)}


def _write_card(
    options: Any, names: list[str], rows: dict[str, list[Labelled]], figures: dict[str, float]
) -> None:
    if options.data:
        write_card(options.out, "sentiment", figures)
        return
    sizes = {f"num_{name}": len(part) for name, part in rows.items()}
    write_card(
        options.out, "own", figures | sizes, model=options.out.name, labels=", ".join(names),
        source=options.csv.name, seed=str(options.seed),
    )  # fmt: skip


def accuracy(model: nn.Module, tokenizer: PreTrainedTokenizerBase, rows: list[Labelled]) -> float:
    """Share of rows whose likeliest label is the given one."""
    right = logits_of(model, tokenizer, rows).argmax(-1) == torch.tensor([r.label for r in rows])
    return float(right.float().mean())


def calibrate(model: nn.Module, tokenizer: PreTrainedTokenizerBase, rows: list[Labelled]) -> float:
    """The temperature that makes the dev split likeliest, found on a fine grid."""
    logits = logits_of(model, tokenizer, rows)
    labels = torch.tensor([r.label for r in rows])
    grid = [0.5 + 0.02 * i for i in range(200)]
    losses = [float(nn.functional.cross_entropy(logits / t, labels)) for t in grid]
    return grid[losses.index(min(losses))]


@torch.inference_mode()
def logits_of(model: nn.Module, tokenizer: PreTrainedTokenizerBase, rows: list[Labelled]) -> Tensor:
    """Scores of every row before the softmax, (rows, labels), float32."""
    model.eval()
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].text))
    logits: dict[int, Tensor] = {}
    for start in range(0, len(order), 64):
        part = order[start : start + 64]
        batch = tokenizer(
            [rows[i].text for i in part],
            truncation=True,
            max_length=_MAX_TOKENS,
            padding=True,
            return_tensors="pt",
        )
        logits.update(zip(part, model(**batch).logits.float(), strict=True))
    return torch.stack([logits[i] for i in range(len(rows))])


def _fit(model: nn.Module, tokenizer: PreTrainedTokenizerBase, rows: list[Labelled], options: Any) -> None:
    encoded = tokenizer([r.text for r in rows], truncation=True, max_length=_MAX_TOKENS)["input_ids"]
    lengths = [len(ids) for ids in encoded]
    # A small set is cut into some thirty batches all the same; one batch an epoch would be no descent.
    batches = BucketedBatches(lengths, max_tokens=min(2048, max(256, sum(lengths) // 30)), seed=options.seed)
    steps = max(_LEAST_STEPS, int(options.epochs * batches.steps_per_epoch))
    schedule = Schedule(
        steps=steps, learning_rate=1e-4, warmup_steps=min(100, steps // 10), seed=options.seed
    )

    def batch_at(step: int) -> Batch:
        chosen = batches.at(step)
        padded = tokenizer.pad({"input_ids": [encoded[i] for i in chosen]}, return_tensors="pt")
        return {**padded, "labels": torch.tensor([rows[i].label for i in chosen])}

    def loss_of(network: nn.Module, batch: Batch) -> Tensor:
        labels = batch.pop("labels")
        logits: Tensor = network(**batch).logits
        return nn.functional.cross_entropy(logits.float(), labels, label_smoothing=0.05)

    train(model, batch_at, loss_of, schedule, checkpoint=options.checkpoint)


def _read(options: Any) -> tuple[list[str], dict[str, list[Labelled]]]:
    if options.csv:
        return read_csv(options.csv, options.text_column, options.label_column)
    rows = {
        "train": read_goemotions(options.data, "train")
        + review_sentences(options.review_sentences, seed=options.seed),
        "dev": read_goemotions(options.data, "dev"),
        "test": read_goemotions(options.data, "test"),
        "reviews": _own_reviews(),
    }
    return ["NEGATIVE", "POSITIVE"], rows


def _own_reviews() -> list[Labelled]:
    path = Path(__file__).with_name("review_test.tsv")
    lines = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
    return [Labelled(text, int(label)) for label, text in lines]


def read_csv(path: Path, text: str, label: str) -> tuple[list[str], dict[str, list[Labelled]]]:
    """The names of the labels, and the rows by what they are for.

    Raises:
        SystemExit: a column or label is missing, or there are too few rows; the message says which.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        missing = [name for name in (text, label) if name not in (reader.fieldnames or ())]
        if missing:
            raise SystemExit(f"{path}: no column {missing[0]!r}; it has {', '.join(reader.fieldnames or ())}")
        found = [(row[text] or "", (row[label] or "").strip(), reader.line_num) for row in reader]
    for body, name, line in found:
        if not body.strip() or not name:
            raise SystemExit(f"{path}, line {line}: the {'text' if name else 'label'} is empty")
    names = sorted({name for _, name, _ in found})
    rows: dict[str, list[Labelled]] = {"train": [], "dev": [], "test": []}
    for body, name, _ in found:  # equal texts never part, so no test row was trained on
        rows[split_of(body, dev_share=0.1, test_share=0.1)].append(Labelled(body, names.index(name)))
    if len(names) < 2 or not all(rows.values()):
        raise SystemExit(
            f"{path}: need at least two labels and a few dozen rows; found {len(found)} rows, {names}"
        )
    return names, rows


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, help="folder that holds goemotions/")
    source.add_argument("--csv", type=Path, help="your own labelled rows instead")
    parser.add_argument("--text-column", default="text")
    parser.add_argument("--label-column", default="label")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=float, default=2.0, help="at least; few rows are seen more often")
    parser.add_argument(
        "--vocabulary", type=int, help="word pieces kept (default: 8000; of a CSV's model all)"
    )
    parser.add_argument("--review-sentences", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--checkpoint", type=Path, help="resume from and save to this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
