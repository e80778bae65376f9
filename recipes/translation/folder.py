"""Writes the model: in parts that can be handed on, or as the folder that is bundled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import MarianMTModel, PreTrainedTokenizerBase

from recipes.card import save_model, write_card

_PART = "12MB"


def save_parts(
    model: MarianMTModel, tokenizer: PreTrainedTokenizerBase, facts: Mapping[str, Any], out: Path
) -> None:
    """Float16 weights in parts of some megabytes, the tokenizer, and `training.json`."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "training.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    tokenizer.save_pretrained(out)
    halves = MarianMTModel(model.config).to(torch.float16)  # type: ignore[arg-type]
    halves.load_state_dict(model.state_dict())
    halves.save_pretrained(out, max_shard_size=_PART)


def write_metrics(figures: Mapping[str, Any], out: Path) -> None:
    """What was measured, as `metrics.json`."""
    (out / "metrics.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def write_folder(
    model: MarianMTModel, tokenizer: PreTrainedTokenizerBase, figures: Mapping[str, Any], out: Path
) -> None:
    """The weights, the tokenizer, the settings, the figures, and a card that shows them."""
    save_model(model, tokenizer, out)
    write_metrics(figures, out)
    shown: dict[str, Any] = {}
    for name, value in figures.items():
        inner = value if isinstance(value, dict) else {}
        shown |= {f"{name}_{key}": each for key, each in inner.items()} or {name: value}
    write_card(out, "translation", shown)
