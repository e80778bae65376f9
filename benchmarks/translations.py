"""How two models translate what no training saw, beside each other.

    python -m benchmarks.translations --data DIR [--before FOLDER] [--sentences N]

By transformers' `generate`, with each model's own decoding defaults. The sets are those of the
recipe: Tatoeba's held-out components, and of news, descriptions of commands and an encyclopedia what
was set aside. Of each: BLEU and chrF (sacrebleu), the share of runaways, and of sentences with
numbers those that keep them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from transformers import MarianMTModel, MarianTokenizer

from benchmarks import data
from recipes.translation.corpora import SETS, sets_aside
from recipes.translation.evaluation import scores_of

_BUNDLED = Path(__file__).parents[1] / "models" / "bundled" / "translation"


def main() -> int:
    """Prints a line for each model and set."""
    options = _options()
    if not data.is_there(options.data):
        return 2
    sets = sets_aside(options.data, options.sets)
    for title, folder in (("before", options.before), ("now", options.model)):
        if folder is None:
            continue
        print(f"{title}: {folder}")
        model = MarianMTModel.from_pretrained(folder, dtype=torch.float32)  # for evaluation, as loaded
        tokenizer = MarianTokenizer.from_pretrained(folder)
        scores_of(model, tokenizer, sets, most=options.sentences, batch=32)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sets")
    parser.add_argument("--model", type=Path, default=_BUNDLED)
    parser.add_argument("--before", type=Path, help="the folder of another model to compare with")
    parser.add_argument("--sets", nargs="*", default=SETS, choices=SETS)
    parser.add_argument("--sentences", type=int, default=10**6, help="of a set, about")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
