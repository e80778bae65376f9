"""One model of the zoo, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_NONE: Mapping[str, Any] = {}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What a model is made from, and what it is asked to do."""

    name: str
    task: str
    model: str  #: transformers' class
    tokenizer: str  #: a key of `tests.zoo.tokenizers.KINDS`, or a slow one
    settings: Mapping[str, Any] = field(default_factory=dict)  #: of its config, over `folders.SIZES`
    defaults: Mapping[str, Any] = field(default_factory=dict)  #: of its generation config
    tokenizer_settings: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)  #: of each of its documents
    #: every so many tokens of its vocabulary end a text, so that some end early; 0: its own end token does
    ends_every: int = 16
    #: whether its attention is made to look closely: layers that normalise what they add up make all tokens
    #: alike when attention looks everywhere, and the same comes out whatever goes in
    looks_closely: bool = False
    has_own_lengths: bool = False  #: its documents name no length: the model's defaults do
    longest_tokens: int = 60  #: of its documents
    is_promised: bool = False  #: must be proven, and not go one document at a time
    is_quick: bool = False  #: in the share of `make test`


def generation(
    name: str, model: str, tokenizer: str, settings: Mapping[str, Any] = _NONE, **more: Any
) -> Entry:
    """A model that continues prompts."""
    return Entry(name=name, task="generation", model=model, tokenizer=tokenizer, settings=settings, **more)


def translation(
    name: str, model: str, tokenizer: str, settings: Mapping[str, Any] = _NONE, **more: Any
) -> Entry:
    """A model that translates."""
    return Entry(name=name, task="translation", model=model, tokenizer=tokenizer, settings=settings, **more)


def sentiment(
    name: str, model: str, tokenizer: str, settings: Mapping[str, Any] = _NONE, **more: Any
) -> Entry:
    """A classifier."""
    return Entry(name=name, task="sentiment", model=model, tokenizer=tokenizer, settings=settings, **more)


def qa(name: str, model: str, tokenizer: str, settings: Mapping[str, Any] = _NONE, **more: Any) -> Entry:
    """A model that finds answers."""
    return Entry(name=name, task="qa", model=model, tokenizer=tokenizer, settings=settings, **more)
