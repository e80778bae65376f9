"""Puts a trained and measured model folder in the place of a bundled one, with its card.

`python -m recipes.install sentiment --model FOLDER`
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from recipes.bundled_card import write_bundled_card

_BUNDLED = Path(__file__).parents[1] / "models" / "bundled"
_FILES = ("config.json", "metrics.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")


def install(task: str, folder: Path, out: Path) -> None:
    """Copies what belongs to a model, and writes the card from its figures and those of the weights before.

    Raises:
        SystemExit: a file is missing; the message says which, and nothing is copied.
    """
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        raise SystemExit(f"{folder} has no {', '.join(missing)}: train it, then run recipes.measure")
    out.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        shutil.copyfile(folder / name, out / name)
    write_bundled_card(out, task, json.loads((out / "metrics.json").read_text(encoding="utf-8")))


def main() -> None:
    """Installs one model."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("task", choices=("sentiment", "qa"))
    parser.add_argument("--model", type=Path, required=True)
    options = parser.parse_args()
    install(options.task, options.model, _BUNDLED / options.task)


if __name__ == "__main__":
    main()
