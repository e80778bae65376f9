"""Ids of a model's vocabulary: those that may stand in a text, and those that may fill rows up."""

from __future__ import annotations

from collections.abc import Iterator

from models.encoders.forward import Padding
from models.loading.registry import LoadedModel

_MOST_IDS = 30_000  #: to draw from


def ordinary_ids(loaded: LoadedModel) -> list[int]:
    """Ids of tokens that may stand in a text."""
    special = set(loaded.tokenizer.all_special_ids)
    # A tokenizer may count more tokens than the model has rows for, and the other way round.
    num_ids = min(len(loaded.tokenizer), _num_ids(loaded), _MOST_IDS)
    return [number for number in range(num_ids) if number not in special]


def paddings(loaded: LoadedModel, own_id: int | None) -> Iterator[Padding]:
    """Ways to pad, the likeliest first: the tokenizer's side, and the id that the model looks for."""
    tokenizer = loaded.tokenizer
    num_ids = _num_ids(loaded)
    is_named = own_id is not None and 0 <= own_id < num_ids
    others = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id)
    candidates = dict.fromkeys((own_id, tokenizer.pad_token_id) if is_named else (*others, 0))
    sides = ("left", "right") if tokenizer.padding_side == "left" else ("right", "left")
    for side in sides:
        for token_id in candidates:
            if token_id is not None and 0 <= token_id < num_ids:
                yield Padding(
                    side=side, token_id=token_id, type_id=tokenizer.pad_token_type_id, is_ours=not is_named
                )


def _num_ids(loaded: LoadedModel) -> int:
    """Rows of the model's table of tokens; what has no vocabulary (CANINE) takes any of the tokenizer's."""
    return getattr(loaded.config.get_text_config(), "vocab_size", None) or len(loaded.tokenizer)
