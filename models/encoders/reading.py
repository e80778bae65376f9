"""Texts to tokens, with the place of each token in its text; special tokens in a text are text."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

from transformers import PreTrainedTokenizerBase, TokenizersBackend

from models.encoders.literal import literal, special_tokens_met

T = TypeVar("T")

_SAMPLE = "Ab  c, d-e 12."


class Places(Protocol):
    """Where tokens are; the `Encoding` of a fast tokenizer."""

    @property
    def offsets(self) -> list[tuple[int, int]]:
        """The characters of each token: from, up to."""
        ...

    @property
    def word_ids(self) -> list[int | None]:
        """The word that each token belongs to; None for one that belongs to none."""
        ...


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A text as a tokenizer reads it, without special tokens around."""

    ids: list[int]
    places: Places | None  #: None for a slow tokenizer, unless its tokens spell the text


@dataclass(frozen=True, kw_only=True)
class _Spelled:
    """The places of tokens that spell their text; words are what white space separates."""

    offsets: list[tuple[int, int]]
    word_ids: list[int | None]


def read(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], params: Sequence[Mapping[str, Any]]
) -> list[Reading]:
    """Tokenises each text as its document's parameters say."""
    return _by_way(partial(_read_alike, tokenizer), texts, params)


def read_ids(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], params: Sequence[Mapping[str, Any]]
) -> list[list[int]]:
    """The ids alone, for a quarter less."""
    return _by_way(partial(_ids_alike, tokenizer), texts, params)


def knows_places(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Whether it can be said where in a text a token is."""
    return bool(tokenizer.is_fast) or "".join(tokenizer.tokenize(_SAMPLE)) == _SAMPLE


def _by_way(
    read_alike: Callable[[Sequence[str], Mapping[str, bool]], list[T]],
    texts: Sequence[str],
    params: Sequence[Mapping[str, Any]],
) -> list[T]:
    """Texts that are read in one way go together."""
    if not any(params):  # as most are
        return read_alike(texts, literal({})) if texts else []
    ways = [tuple(literal(one).items()) for one in params]
    readings: dict[int, T] = {}
    for way in set(ways):
        numbers = [number for number, one in enumerate(ways) if one == way]
        group = read_alike([texts[number] for number in numbers], dict(way))
        readings.update(zip(numbers, group, strict=True))
    return [readings[number] for number in range(len(texts))]


def _ids_alike(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], way: Mapping[str, bool]
) -> list[list[int]]:
    if not (isinstance(tokenizer, TokenizersBackend) and _is_plain(type(tokenizer))):
        return [one.ids for one in _read_alike(tokenizer, texts, way)]
    _read_alike(tokenizer, [""], way)  # transformers sets its backend up
    # The backend's own call keeps no offsets, and nothing is made of each text in Python.
    found = tokenizer.backend_tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
    return [one.ids for one in found]


def _is_plain(kind: type[TokenizersBackend]) -> bool:
    """Whether a tokenizer gives its backend the texts as they are."""
    return all(
        getattr(kind, name) is getattr(TokenizersBackend, name) for name in ("__call__", "_encode_plus")
    )


def _read_alike(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], way: Mapping[str, bool]
) -> list[Reading]:
    if not tokenizer.is_fast:
        return [_read_slowly(tokenizer, text, way) for text in texts]
    encoded = tokenizer(
        list(texts),
        add_special_tokens=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
        **way,
    )
    return [
        Reading(ids=ids, places=places)
        for ids, places in zip(encoded["input_ids"], encoded.encodings, strict=True)
    ]


def _read_slowly(tokenizer: Any, text: str, way: Mapping[str, bool]) -> Reading:
    tokens = tokenizer.tokenize(text, **way)
    ids = tokenizer.convert_tokens_to_ids(tokens)
    if way["split_special_tokens"] and not set(ids).isdisjoint(tokenizer.all_special_ids):
        ids = _read_apart(tokenizer, text, way)
    return Reading(ids=ids, places=_spelled(tokens, text) if len(ids) == len(tokens) else None)


def _read_apart(tokenizer: Any, text: str, way: Mapping[str, bool]) -> list[int]:
    """For the tokenizers that find special tokens in any text: their names are read in two halves."""
    parts = [text]
    for name in special_tokens_met(tokenizer):
        halves = (name[:1], name[1:])
        split = [part.split(name) for part in parts]
        parts = [half for pieces in split for half in _joined(pieces, halves)]
    read_parts = (tokenizer.tokenize(part, **way) for part in parts if part)
    return [number for tokens in read_parts for number in tokenizer.convert_tokens_to_ids(tokens)]


def _joined(pieces: Sequence[str], halves: tuple[str, str]) -> list[str]:
    joined = [pieces[0]]
    for piece in pieces[1:]:
        joined += [*halves, piece]
    return joined


def _spelled(tokens: Sequence[str], text: str) -> _Spelled | None:
    if "".join(tokens) != text:
        return None
    ends = list(itertools.accumulate(len(token) for token in tokens))
    words: list[int | None] = []
    word, was_space = -1, True
    for token in tokens:
        is_space = token.isspace()
        word += was_space and not is_space
        was_space = is_space
        words.append(None if is_space else word)
    return _Spelled(offsets=list(zip([0, *ends], ends, strict=False)), word_ids=words)
