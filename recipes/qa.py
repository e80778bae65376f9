"""Recipe: English extractive question answering with a no-answer score.

    python -m recipes.qa --data DIR --out FOLDER

MiniLM is fine-tuned on the questions of `recipes/qa_rows.py`: training articles of SQuAD's
dev sets, SQuADShifts' Wikipedia and Reddit, FairytaleQA, QAMR, and questions made
unanswerable. Whole articles and comments are held out. The position of [CLS] stands for
"no answer", as in BERT's SQuAD 2.0 recipe. Its card is written when it is installed
(`recipes/measure.py`, `recipes/install.py`). On a machine without the data sets it is
trained from a packed folder (`recipes/pack.py`):

    python -m recipes.qa --packed FOLDER --out WEIGHTS --seconds 45
    python -m recipes.qa --packed FOLDER --from-weights WEIGHTS --out FOLDER
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from transformers.utils import logging as hf_logging

from recipes import qa_course, qa_pack
from recipes.card import save_model
from recipes.pieces import load_pieces, save_pieces
from recipes.start import save_start


def main() -> None:
    """Trains, calibrates, evaluates, and writes the folder."""
    options = _options()
    hf_logging.disable_progress_bar()
    options.out.mkdir(parents=True, exist_ok=True)
    if options.packed:
        figures = _run(options, options.packed)
    else:
        with tempfile.TemporaryDirectory(prefix="textmill-qa-") as folder:
            packed = Path(folder)
            old_ids = qa_pack.pack(options.data, packed, vocabulary=options.vocabulary, seed=options.seed)
            save_start(packed, {"qa": old_ids})
            figures = _run(options, packed)
    print(json.dumps(figures, indent=1))


def _run(options: Any, packed: Path) -> dict[str, float]:
    """Trains, or takes weights from elsewhere; writes a model folder, or with `--seconds` weights alone."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model, tokenizer, windows, dev, tests = qa_pack.unpack(packed, device, seed=options.seed)
    if options.from_weights:
        load_pieces(model, options.from_weights, "qa")
        figures: dict[str, float] = json.loads((options.from_weights / "qa.json").read_text())
    else:
        figures = qa_course.run(
            model, tokenizer, windows, dev, seed=options.seed, seconds=options.seconds, checkpoint=options.checkpoint
        )  # fmt: skip
        if options.seconds is not None:  # before anything else: what is trained is kept
            save_pieces(model, options.out, "qa")
        figures |= qa_course.measure(model, tokenizer, tests)
    name = "qa.json" if options.seconds is not None else "metrics.json"
    (options.out / name).write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if options.seconds is None:
        save_model(model.cpu(), tokenizer, options.out)
    return figures


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--data", type=Path, help="folder with squad-dev/, squadshifts/, fairytaleqa/, qamr/")
    source.add_argument("--packed", type=Path, help="folder that `recipes.pack` wrote, instead")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--from-weights", type=Path, help="install these instead of training (--packed)")
    parser.add_argument(
        "--seconds", type=float, help="train about so long, and write weights alone (--packed)"
    )
    parser.add_argument("--vocabulary", type=int, default=6500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--checkpoint", type=Path, help="resume from and save to this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
