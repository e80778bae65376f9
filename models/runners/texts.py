"""Between tokens and text: how long a model's input may be, and what its output says."""

from __future__ import annotations

from models.engine.switches import find_switches
from models.registry import LoadedModel

_LIMIT_NAMES = ("max_position_embeddings", "n_positions", "max_source_positions")
#: These read any length: their positions are relative (T5) or a recurrent state's.
_UNLIMITED_TOKENS = 100_000


def max_positions(loaded: LoadedModel) -> int:
    """The longest sequence a decoder or an encoder of the model can take, in tokens."""
    if any(each.is_shared and each.name in _LIMIT_NAMES for each in find_switches(loaded.config.to_dict())):
        return _UNLIMITED_TOKENS  # a dynamic rope is there to go beyond the length it was trained for
    for name in _LIMIT_NAMES:
        value = getattr(loaded.config, name, None)
        # T5 keeps `n_positions` in its config and does not use it.
        if isinstance(value, int) and value > 0 and loaded.config.model_type not in {"t5", "mt5", "umt5"}:
            return value
    limit = loaded.tokenizer.model_max_length
    return int(limit) if limit and limit < _UNLIMITED_TOKENS else 512


def text_of(loaded: LoadedModel, ids: list[int]) -> str:
    """The text of token ids, without special tokens."""
    return str(loaded.tokenizer.decode(ids, skip_special_tokens=True))
