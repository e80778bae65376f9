"""The bundled sentiment model's material as token ids: from the raw data, or from a packed file of it.

A packed folder is what a machine without the data sets trains from:
`sentiment.npz.xz`, the tokenizer in `sentiment/`, and the encoder (`recipes/start.py`).
"""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, PreTrainedTokenizerBase

from recipes.classifier import MAX_TOKENS, Examples
from recipes.emoji import EMOJI_NAMES
from recipes.encoder import add_pieces, encoder_folder, grow_embeddings, prune_tokenizer
from recipes.ragged import Ragged, load_arrays, load_rows, save_rows
from recipes.sentiment_course import REPEATS, Material
from recipes.sentiment_rows import Sources, calibration_rows, test_rows, training_rows
from recipes.start import load_start

NAMES = ("NEGATIVE", "POSITIVE")


def pack(data: Path, folder: Path, *, vocabulary: int, seed: int) -> list[int]:
    """Writes tokenizer and rows.

    Returns:
        For each piece of the tokenizer but the emoji, which come last, its id in the encoder's.
    """
    train = training_rows(data, seed=seed)
    texts = [row.text for rows in train.values() for row in rows]
    out = folder / "sentiment"
    tokenizer, old_ids = prune_tokenizer(encoder_folder(), texts, size=vocabulary, out=out)
    tokenizer = add_pieces(tokenizer, EMOJI_NAMES, out)
    sources = {
        **{f"rated.{name}": rows for name, rows in train.items()},
        **{f"dev.{name}": rows for name, rows in calibration_rows(data).items()},
        **{f"test.{name}": rows for name, rows in test_rows(data).items()},
    }
    _save(folder / "sentiment.npz.xz", tokenizer, sources)
    return old_ids


def _save(path: Path, tokenizer: PreTrainedTokenizerBase, sources: Sources) -> None:
    rows = {
        name: tokenizer([row.text for row in part], truncation=True, max_length=MAX_TOKENS)["input_ids"]
        for name, part in sources.items()
    }
    targets = {
        f"{name}.targets": np.array([row.positive for row in part], np.float16)
        for name, part in sources.items()
    }
    save_rows(path, rows, **targets)


def whole_tokenizer(out: Path) -> PreTrainedTokenizerBase:
    """The encoder's own, with all its word pieces."""
    return prune_tokenizer(encoder_folder(), (), size=None, out=out)[0]


def unpack(folder: Path, device: torch.device, *, seed: int) -> tuple[Any, PreTrainedTokenizerBase, Material]:
    """The encoder with its new head, its tokenizer, and the rows, all on a device."""
    tokenizer = AutoTokenizer.from_pretrained(folder / "sentiment")
    names = dict(enumerate(NAMES))
    torch.manual_seed(seed)
    model = load_start(
        folder, "sentiment", AutoModelForSequenceClassification, num_labels=2, id2label=names,
        label2id={name: number for number, name in names.items()}, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    grow_embeddings(model, tokenizer, EMOJI_NAMES)
    packed = load_arrays(folder / "sentiment.npz.xz")
    parts = sorted(name.removesuffix(".ids") for name in packed if name.endswith(".ids"))
    found = {name: _examples(packed, name, device) for name in parts}
    rated = [
        part
        for name, part in found.items() if name.startswith("rated.")
        for _ in range(REPEATS.get(name.removeprefix("rated."), 1))
    ]  # fmt: skip
    material = Material(
        rated=Examples(
            texts=reduce(Ragged.joined, (part.texts for part in rated)),
            targets=torch.cat([part.targets for part in rated]),
        ),
        calibration={n.removeprefix("dev."): part for n, part in found.items() if n.startswith("dev.")},
        test={n.removeprefix("test."): part for n, part in found.items() if n.startswith("test.")},
    )
    return model.to(device), tokenizer, material


def _examples(packed: Any, name: str, device: torch.device) -> Examples:
    positive = torch.from_numpy(packed[f"{name}.targets"].astype(np.float32)).to(device)
    return Examples(texts=load_rows(packed, name, device), targets=torch.stack([1 - positive, positive], -1))
