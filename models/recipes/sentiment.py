"""Recipe: English sentiment, positive or negative, with a calibrated score.

    python -m models.recipes.sentiment --data DIR --out models/bundled/sentiment
    python -m models.recipes.sentiment --csv my.csv --text-column text --label-column label --out my-model

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

from models.recipes.batching import BucketedBatches
from models.recipes.card import save_model, write_card
from models.recipes.encoder import encoder_folder, prune_embeddings, prune_tokenizer
from models.recipes.goemotions import Labelled, read_goemotions
from models.recipes.review_grammar import review_sentences
from models.recipes.splits import split_of
from models.recipes.training import Batch, Schedule, train

_MAX_TOKENS = 128


def main() -> None:
    """Trains, calibrates, evaluates, and writes the folder."""
    options = _options()
    names, rows = _read(options)
    tokenizer, old_ids = prune_tokenizer(
        encoder_folder(), (r.text for r in rows["train"]), size=options.vocabulary, out=options.out
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
    figures = {
        f"accuracy_{name}": accuracy(model, tokenizer, part) for name, part in rows.items() if name != "train"
    }
    majority = max(sum(r.label == label for r in rows["test"]) for label in range(len(names))) / len(
        rows["test"]
    )
    figures |= {"majority_baseline_test": majority, "temperature": temperature}
    save_model(model, tokenizer, options.out)
    (options.out / "metrics.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if options.data:
        write_card(options.out, "sentiment", figures)
    print(json.dumps(figures, indent=1))


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
    batches = BucketedBatches([len(ids) for ids in encoded], max_tokens=2048, seed=options.seed)
    schedule = Schedule(
        steps=int(options.epochs * batches.steps_per_epoch),
        learning_rate=1e-4,
        warmup_steps=100,
        seed=options.seed,
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
        return _read_csv(options.csv, options.text_column, options.label_column)
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


def _read_csv(path: Path, text: str, label: str) -> tuple[list[str], dict[str, list[Labelled]]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        found = [(row[text], row[label]) for row in csv.DictReader(file)]
    names = sorted({name for _, name in found})
    rows: dict[str, list[Labelled]] = {"train": [], "dev": [], "test": []}
    for body, name in found:  # equal texts never part, so no test row was trained on
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
    parser.add_argument("--epochs", type=float, default=2.0)
    parser.add_argument("--vocabulary", type=int, default=8000)
    parser.add_argument("--review-sentences", type=int, default=12_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--checkpoint", type=Path, help="resume from and save to this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
