"""Packs what the encoder models are trained from into one small folder, for a machine without the data sets.

    python -m recipes.pack --data DIR --out FOLDER [--limit 1500]

Then, there: `python -m recipes.sentiment --packed FOLDER --out OUT --seconds 45`, and likewise qa.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from recipes import qa_pack, sentiment_pack
from recipes.start import save_start


def main() -> None:
    """Writes the folder."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sets")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sentiment-vocabulary", type=int, default=8000, help="word pieces kept")
    parser.add_argument("--qa-vocabulary", type=int, default=6500, help="word pieces kept")
    parser.add_argument("--limit", type=int, help="questions of a test set at most")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    old_ids = {
        "sentiment": sentiment_pack.pack(
            options.data, options.out, vocabulary=options.sentiment_vocabulary, seed=options.seed
        ),
        "qa": qa_pack.pack(
            options.data,
            options.out,
            vocabulary=options.qa_vocabulary,
            seed=options.seed,
            limit=options.limit,
        ),
    }
    save_start(options.out, old_ids)
    for path in sorted(options.out.rglob("*")):
        if path.is_file():
            print(f"{path.stat().st_size:>12,}  {path.relative_to(options.out)}")


if __name__ == "__main__":
    main()
