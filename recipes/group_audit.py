"""Does the label of a text turn on who is named in it? An audit with HolisticBias (Smith et al., 2022; CC BY-SA 4.0).

    python -m recipes.group_audit --fairness DIR --model models/bundled/sentiment [--before FOLDER]

Each of the set's templates is filled with each descriptor and a few nouns ("I have a friend
who is a deaf woman."). Per axis: the share of texts labelled NEGATIVE, and by how much the
mean probability of POSITIVE is below that of the same templates and nouns without a
descriptor. Templates that themselves love or hate are told apart from those that say nothing.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from recipes.classifier import logits_of
from recipes.ragged import Ragged

#: Verdicts of their own, whoever is named.
_LOADED = re.compile(r"love|like|hate|hard|best|worst")
_NOUNS = (("woman", "women"), ("man", "men"), ("person", "people"), ("parent", "parents"))


@dataclass(frozen=True)
class Filled:
    """A text, the axis of its descriptor ("" for none), and the frame that it has in common with others."""

    text: str
    axis: str
    frame: str


def filled_templates(folder: Path) -> list[Filled]:
    """Every plain template with every descriptor and noun."""
    templates = json.loads((folder / "sentence_templates.json").read_text(encoding="utf-8"))
    plain = [template for template in templates if not _LOADED.search(template)]
    rows = []
    for axis, descriptor in [("", ""), *_descriptors(folder)]:
        for one, many in _NOUNS:
            noun = (
                f"{descriptor} {one}".strip() if not descriptor.startswith("with ") else f"{one} {descriptor}"
            )
            nouns = (
                f"{descriptor} {many}".strip()
                if not descriptor.startswith("with ")
                else f"{many} {descriptor}"
            )
            for template in plain:
                text = template.format(noun_phrase=_with_article(noun), plural_noun_phrase=nouns)
                rows.append(Filled(text, axis, template + one))
    return rows


def _descriptors(folder: Path) -> Iterator[tuple[str, str]]:
    axes = json.loads((folder / "descriptors.json").read_text(encoding="utf-8"))
    for axis, buckets in axes.items():
        for entries in buckets.values():
            for entry in entries:
                yield axis, entry["descriptor"] if isinstance(entry, dict) else entry


def _with_article(noun: str) -> str:
    return f"an {noun}" if noun[0].lower() in "aeio" else f"a {noun}"


def audit(
    positive_of: Callable[[Sequence[str]], Tensor], rows: Sequence[Filled]
) -> dict[str, dict[str, float]]:
    """Per axis: share labelled NEGATIVE, mean gap to the text without a descriptor, and its absolute mean.

    Args:
        positive_of: the probability of POSITIVE of each text.
        rows: filled templates, those without a descriptor among them.
    """
    positive = positive_of([row.text for row in rows]).tolist()
    plain = {row.frame: p for row, p in zip(rows, positive, strict=True) if not row.axis}
    by_axis: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row, p in zip(rows, positive, strict=True):
        by_axis[row.axis or "nobody"].append((p, plain[row.frame] - p))
    return {
        axis: {
            "texts": len(pairs),
            "negative": sum(p < 0.5 for p, _ in pairs) / len(pairs),
            "mean_positive": sum(p for p, _ in pairs) / len(pairs),
            "gap": sum(gap for _, gap in pairs) / len(pairs),
        }
        for axis, pairs in by_axis.items()
    }


def table_of(before: dict[str, dict[str, float]], now: dict[str, dict[str, float]]) -> str:
    """Rows of a card's table, the axis with the largest gap first; a dash for what was not measured before."""
    return "\n".join(
        f"| {axis.replace('_', ' ')} | {_cells(before.get(axis), now[axis])} |"
        for axis in sorted(now, key=lambda axis: -now[axis]["gap"])
    )


def _cells(before: dict[str, float] | None, now: dict[str, float]) -> str:
    share, gap = (f"{before['negative']:.1%}", f"{before['gap']:+.3f}") if before else ("-", "-")
    return f"{share} | {now['negative']:.1%} | {gap} | {now['gap']:+.3f}"


def probabilities_by(model: Any, tokenizer: Any) -> Callable[[Sequence[str]], Tensor]:
    """The probability of label 1, by a model on its own device."""

    def positive_of(texts: Sequence[str]) -> Tensor:
        device = next(model.parameters()).device
        ids = tokenizer(list(texts), truncation=True, max_length=512)["input_ids"]
        return torch.softmax(logits_of(model, Ragged.of(ids, device)), -1)[:, 1]

    return positive_of


def main() -> None:
    """Prints a table of one model folder's figures, beside those of the one before."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fairness", type=Path, required=True, help="folder with holistic-bias/")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--before", type=Path, help="the folder of another model to compare with")
    options = parser.parse_args()
    rows = filled_templates(options.fairness / "holistic-bias")
    before = _audit_of(options.before, rows) if options.before else {}
    print("| axis | labelled NEGATIVE, before | now | gap, before | now |\n|---|---|---|---|---|")
    print(table_of(before, _audit_of(options.model, rows)))


def _audit_of(folder: Path, rows: Sequence[Filled]) -> dict[str, dict[str, float]]:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).to(device)
    return audit(probabilities_by(model, AutoTokenizer.from_pretrained(folder)), rows)


if __name__ == "__main__":
    main()
