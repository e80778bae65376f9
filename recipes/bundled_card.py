"""The cards of the bundled encoder models: their figures beside those of the weights that they replaced."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from recipes.card import write_card
from recipes.emoji import EMOJI_NAMES
from recipes.group_audit import table_of

_PREVIOUS = Path(__file__).with_name("cards") / "previous.json"


def write_bundled_card(out: Path, task: str, figures: Mapping[str, Any]) -> None:
    """Fills the task's card; `old_...` are the figures of the weights before, measured on the same rows."""
    shown = {**figures, **{f"old_{name}": value for name, value in previous()[task].items()}}
    texts = {}
    if task == "sentiment":
        texts["num_emoji"] = str(len(EMOJI_NAMES))
        texts["audit_rows"] = table_of(shown.get("old_audit", {}), shown.get("audit", {}))
    write_card(out, task, shown, **texts)


def previous() -> dict[str, dict[str, Any]]:
    """By task, the figures of the weights before."""
    known: dict[str, dict[str, Any]] = json.loads(_PREVIOUS.read_text(encoding="utf-8"))
    return known


def keep_as_previous(task: str, figures: Mapping[str, Any]) -> None:
    """Puts the figures of the weights that are about to be replaced where cards find them."""
    content = {**previous(), task: dict(figures)}
    _PREVIOUS.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
