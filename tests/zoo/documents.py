"""What a model of the zoo is asked: texts of chosen lengths in its own tokens, each decoded its own way."""

from __future__ import annotations

import random
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from models.records import DocumentInput
from tests.support.tiny_models import WORDS
from tests.zoo.entry import Entry

#: Around the windows, chunks and switches of the zoo's configs: 8, 16 and 32 tokens.
_LENGTHS = (1, 3, 7, 9, 15, 17, 23, 29, 31, 33, 45, 60, 5, 12, 19, 27)
#: Of several documents, which are at different places when they meet in a step.
_HOT = {"do_sample": True, "temperature": 4.0, "top_k": 0, "min_new_tokens": 6}
_WAYS: Sequence[Mapping[str, Any]] = (
    {},
    {"num_beams": 4},
    {"do_sample": True},
    {"repetition_penalty": 1.3},
    _HOT,
    {},
    {"num_beams": 3, "no_repeat_ngram_size": 2, "length_penalty": 0.5},
    {"do_sample": True, "top_k": 7, "top_p": 0.9, "min_new_tokens": 3},
    {},
    {"num_beams": 4, "early_stopping": True, "min_new_tokens": 4},
    {"min_new_tokens": 5},
    {"do_sample": True, "temperature": 0.7},
    _HOT,
    _HOT,
    _HOT,
    {"min_new_tokens": 5},
)
_NEW_TOKENS = (1, 12, 7, 10, 14, 9, 8, 12, 11, 10, 13, 6, 14, 14, 14, 11)
_PLAIN_WORDS = [word for word in WORDS if word.isascii() and word.isalpha()]


def documents(entry: Entry, tokenizer: Any) -> list[DocumentInput]:
    """The documents of an entry, the same each time."""
    draw = random.Random(zlib.crc32(entry.name.encode()))
    lengths = [length for length in _LENGTHS if length <= entry.longest_tokens]
    if entry.task in ("generation", "translation"):
        return [
            DocumentInput(
                key=number,
                text=_text(tokenizer, length, draw),
                params=_decoding(entry, number),
            )
            for number, length in enumerate(_LENGTHS)
            if length <= entry.longest_tokens
        ]
    if entry.task == "sentiment":
        return [
            DocumentInput(key=number, text=_text(tokenizer, length, draw), params=entry.params)
            for number, length in enumerate([*lengths, *lengths[::-1]])
        ]
    return [
        DocumentInput(
            key=number,
            text=" ".join(draw.choices(_PLAIN_WORDS, k=draw.randint(1, 3))),
            context=_text(tokenizer, length, draw),
            params={"max_answer_length": draw.choice([3, 8, 15]), **entry.params},
        )
        for number, length in enumerate([*lengths, *lengths[::-1]])
    ]


def _decoding(entry: Entry, number: int) -> dict[str, Any]:
    params = dict(_WAYS[number])
    if params.get("do_sample", entry.defaults.get("do_sample")):
        params["seed"] = 100 + number
    if not entry.has_own_lengths:
        params["max_new_tokens"] = _NEW_TOKENS[number]
        if params.get("min_new_tokens", 0) > params["max_new_tokens"]:
            params["min_new_tokens"] = params["max_new_tokens"]
    return {**params, **entry.params}


def _text(tokenizer: Any, length: int, draw: random.Random) -> str:
    """A text of at least so many tokens, special ones included, and hardly more."""
    words = [draw.choice(_PLAIN_WORDS)]
    while len(tokenizer(" ".join(words))["input_ids"]) < length:
        words.append(draw.choice(_PLAIN_WORDS))
    return " ".join(words)
