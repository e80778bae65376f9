"""Writes a model folder: half-precision safetensors, and a card with the measured figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

_TEMPLATES = Path(__file__).with_name("cards")


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    """Saves weights in float16 and the tokenizer; converts a copy, the model stays as it is.

    Weights that are one tensor under several names stay one, and are written once.
    """
    out.mkdir(parents=True, exist_ok=True)
    halves: dict[int, torch.Tensor] = {}
    state = {
        name: halves.setdefault(value.data_ptr(), value.to(torch.float16))
        for name, value in model.state_dict().items()
    }
    kept = model.config.dtype
    model.config.dtype = torch.float16
    model.save_pretrained(out, state_dict=state)
    model.config.dtype = kept
    for weights in out.glob("*.safetensors"):
        weights.chmod(0o644)  # safetensors writes them for their owner alone; who serves may be another
    tokenizer.save_pretrained(out)


def write_card(out: Path, name: str, figures: Mapping[str, Any], **texts: str) -> None:
    """Fills `cards/<name>.md` with figures (as `{figure}`) and texts, and writes it as the README."""
    template = (_TEMPLATES / f"{name}.md").read_text(encoding="utf-8")
    shown = {
        key: f"{value:.4g}" if isinstance(value, float) else str(value) for key, value in figures.items()
    }
    filled = template.format_map(_Shown({**shown, **texts}))
    (out / "README.md").write_text(filled, encoding="utf-8")


class _Shown(dict[str, str]):
    """Figures as a card shows them; one of the weights before that nobody measured is a dash."""

    def __missing__(self, key: str) -> str:
        if not key.startswith("old_"):
            raise KeyError(key)
        return "-"
