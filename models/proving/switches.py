"""At which lengths a model begins to compute otherwise, as its configuration says.

A window that ends, a chunk that is full, a rope that goes over to other frequencies:
what agrees with the model up to there says nothing about what lies beyond. They are
looked for by their names' parts, since every architecture has names of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

_NAMES = re.compile(
    r"window|chunk_size|chunk_length|attention_chunk|local_attention|local_radius|local_transformer_stride"
    r"|block_size$|index_topk|floor_scale|expert_capacity|position_buckets|clamp_len"
)
#: How many windows there are or which layers have one; a piece of a product, which has no say.
_OTHER_NAMES = re.compile(r"layers|pattern|^n_|num_|feed_forward|use_|index_topk_freq|_freq$|_id")
#: Parts that do not read text.
_NO_TEXT = re.compile(r"vision|audio|image|video|speech|depth|codec")
_ROPES_BY_LENGTH = ("longrope", "dynamic")


@dataclass(frozen=True)
class Switch:
    """One setting that says from which length on a model computes otherwise."""

    setting: int  #: the value in the configuration
    name: str  #: in the configuration, at any depth
    #: It looks at the longest of all rows that are computed together, so they change each other.
    is_shared: bool = False
    factor: int = 1  #: tokens for each one of the setting

    @property
    def length(self) -> int:
        """Tokens up to which it changes nothing."""
        return self.setting * self.factor

    def __str__(self) -> str:
        return f"{self.name}={self.setting}"


def find_switches(config: Mapping[str, Any]) -> list[Switch]:
    """All of a configuration, the shortest first; equal ones once."""
    return sorted(set(_found(config, None)), key=lambda switch: (switch.length, switch.name))


def _found(config: Mapping[str, Any], max_positions: Any) -> Iterator[Switch]:
    max_positions = config.get("max_position_embeddings", max_positions)
    yield from _rope(config, max_positions)
    for name, value in config.items():
        if isinstance(value, Mapping) and not _NO_TEXT.search(str(name)):
            yield from _found(value, max_positions)
        elif _NAMES.search(str(name)) and not _OTHER_NAMES.search(str(name)):
            for setting in value if isinstance(value, list | tuple) else [value]:
                if _is_length(setting):
                    yield Switch(setting, str(name), factor=_factor(str(name), config))


def _factor(name: str, config: Mapping[str, Any]) -> int:
    """Tokens for each one of a setting: blocks of them are counted by some."""
    num_random = config.get("num_random_blocks")
    if name == "block_size" and isinstance(num_random, int):
        return 5 + 2 * num_random  # BigBird attends to so many blocks in full before it leaves any out
    return 1


def _rope(parameters: Mapping[str, Any], max_positions: Any) -> Iterator[Switch]:
    kind = parameters.get("rope_type", parameters.get("type"))
    original = parameters.get("original_max_position_embeddings")
    if "llama_4_scaling_beta" in parameters and isinstance(original, int):
        yield Switch(original, "original_max_position_embeddings")
    if not isinstance(kind, str):
        return
    name = "max_position_embeddings"
    if "dynamic" not in kind and original is not None:
        name, max_positions = "original_max_position_embeddings", original
    if any(word in kind for word in _ROPES_BY_LENGTH) and _is_length(max_positions):
        yield Switch(max_positions, name, is_shared=True)


def _is_length(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 1
