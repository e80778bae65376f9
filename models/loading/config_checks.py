"""What a `config.json` may say, looked at before anything is built from it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from models.errors import CannotLoad

#: Settings by which a model is built piece by piece, and the most that is taken for meant: some ten
#: times what the largest published models have.
_MOST: tuple[tuple[re.Pattern[str], int], ...] = tuple(
    (re.compile(pattern), most)
    for pattern, most in (
        (r"^(num_labels|_num_labels)$", 100_000),
        (r"layers$|^n_layer$|^num_blocks$|^encoder_depth$|^depth$", 2_000),
        (r"heads$|^n_head$|num_key_value_groups$", 10_000),
        (r"experts$|num_experts", 20_000),
        (r"(hidden|embedding|intermediate|ffn|feed_forward|inner)_(size|dim)$|^d_model$|^d_ff$|^n_embd$|^dim$"
         r"|^n_inner$|^hidden_dim$", 2_000_000),
        (r"^vocab_size$", 20_000_000),
    )
)  # fmt: skip
_LISTS = ("id2label", "label2id")


def refuse_hostile(raw: Mapping[str, Any], ref: str) -> None:
    """Refuses configurations that try to choose code, or that nobody can have the model of.

    CVE-2026-4372 ran code despite `trust_remote_code`.

    Raises:
        CannotLoad: which setting it is, and what may be there.
    """
    if not raw:
        raise CannotLoad(f"{ref}: there is no config.json, or it is empty")
    for key, value in raw.items():
        if key.endswith("_implementation_internal"):
            raise CannotLoad(f"{ref}: config.json sets {key}, which only a program may set")
        if key.endswith(("attn_implementation", "experts_implementation")) and "/" in str(value):
            raise CannotLoad(f"{ref}: config.json asks for code from the hub ({key}={value!r})")
        _refuse_giant(str(key), value, ref)
        if isinstance(value, dict) and value:
            refuse_hostile(value, ref)


def _refuse_giant(key: str, value: Any, ref: str) -> None:
    number = len(value) if key in _LISTS and isinstance(value, dict) else value
    name = "num_labels" if key in _LISTS else key
    if isinstance(number, bool) or not isinstance(number, int | float):
        return
    for pattern, most in _MOST:
        if pattern.search(name) and number > most:
            shown = str(number) if len(str(number)) < 20 else f"{str(number)[:20]}..."
            raise CannotLoad(f"{ref}: config.json has {key}={shown}; {most} is the most that is loaded")
