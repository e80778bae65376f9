"""The encoder that both models start from, with the pieces that any of them keeps, in one set of files.

A folder holds `start-N.safetensors` (float16), `start/config.json` and `pieces.npz`: for
each task, which of the kept pieces are its own, in its own order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModel

from recipes.encoder import encoder_folder, prune_embeddings
from recipes.pieces import load_pieces, save_pieces


def save_start(folder: Path, old_ids: Mapping[str, Sequence[int]]) -> None:
    """Writes the encoder with the pieces of all tasks, whose ids in its own vocabulary are given."""
    union = np.array(sorted({piece for ids in old_ids.values() for piece in ids}))
    model = AutoModel.from_pretrained(encoder_folder(), dtype=torch.float32)
    prune_embeddings(model, union.tolist())
    save_pieces(model, folder, "start")
    model.config.save_pretrained(folder / "start")
    places: dict[str, Any] = {task: np.searchsorted(union, ids) for task, ids in old_ids.items()}
    np.savez_compressed(folder / "pieces.npz", **places)


def load_start(folder: Path, task: str, kind: Any, **options: Any) -> Any:
    """The encoder with one task's pieces and a new head, of the transformers class `kind`."""
    config = AutoConfig.from_pretrained(folder / "start", **options)
    encoder = AutoModel.from_config(config)
    load_pieces(encoder, folder, "start")
    # On a CPU the fused attention's backward pass takes most of a step; the plain one is matrix products.
    model = kind.from_config(config, attn_implementation="eager")
    model.base_model.load_state_dict(encoder.state_dict(), strict=False)  # a span head takes no pooler
    with np.load(folder / "pieces.npz") as pieces:
        prune_embeddings(model, pieces[task].tolist())
    return model
