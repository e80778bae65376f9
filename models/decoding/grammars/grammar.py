"""The grammars of one model's documents."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from llguidance import LLMatcher

from models.decoding.grammars.alphabet import Alphabet
from models.decoding.grammars.notation import behind_a_space, name_in, notation_of
from models.decoding.grammars.threads import grammar_threads
from models.decoding.grammars.vocabulary import WORD_BITS, Vocabulary, Words
from models.errors import GrammarFailed, InvalidParameter
from models.loading.registry import Family, LoadedModel

_MOST_SHOWN = 8


@dataclass(frozen=True, eq=False)
class Grammar:
    """What a document's text has to keep to."""

    notation: str
    vocabulary: Future[Vocabulary]  #: of the model, made meanwhile
    end_ids: Collection[int]  #: tokens that end a text

    def begin(self) -> Constraint:
        """At the beginning of a text."""
        return Constraint(self)

    def read(self) -> LLMatcher:
        """As it is before the first token.

        Raises:
            GrammarFailed: it cannot be read, or costs too much.
        """
        matcher = self.vocabulary.result().matcher(self.notation)
        _check(matcher)
        return matcher


class Constraint:
    """Which tokens may come next in one text; only one thread may ask at a time."""

    def __init__(self, grammar: Grammar, matcher: LLMatcher | None = None, num_taken: int = 0) -> None:
        self.grammar = grammar
        self._matcher = matcher
        self._num_taken = num_taken
        self._allowed: Words | None = None

    def begin_again(self) -> None:
        """From the first token: where it stands is found out by the tokens it is asked about."""
        self._matcher, self._num_taken, self._allowed = None, 0, None

    def copy(self) -> Constraint:
        """Another one that stands where this one does."""
        matcher = None if self._matcher is None else self._matcher.deep_copy()
        return Constraint(self.grammar, matcher, self._num_taken)

    def allowed_after(self, tokens: Sequence[int]) -> Words:
        """A bit for each token that may follow; the tokens begin with those it was asked about before.

        Raises:
            GrammarFailed: nothing may follow, or it costs too much to find out.
        """
        if self._matcher is None:
            self._matcher = self.grammar.read()
        new = list(tokens[self._num_taken :])
        self._num_taken = len(tokens)
        if new:
            self._matcher.consume_tokens(new)
        vocabulary = self.grammar.vocabulary.result()
        allowed: Words = np.frombuffer(self._matcher.compute_bitmask(), np.uint32)[: vocabulary.num_words]
        _check(self._matcher)
        allowed = allowed & vocabulary.in_texts
        if not allowed.any():
            raise GrammarFailed("the model has no token for what the grammar asks for next")
        self._allowed = allowed
        return allowed

    def permits(self, token: int) -> bool:
        """Whether a token is among those that were allowed last."""
        words, word = self._allowed, token // WORD_BITS
        return words is not None and word < len(words) and bool(words[word] >> (token % WORD_BITS) & 1)


class Grammars:
    """Grammars as one model can keep to them."""

    def __init__(self, loaded: LoadedModel) -> None:
        ends = loaded.model.generation_config.eos_token_id
        ends = ends if isinstance(ends, list) else [ends]
        self.end_ids = tuple(int(end) for end in ends if end is not None)
        self._alphabet = Alphabet(loaded.tokenizer, self.end_ids)
        self._has_encoder = loaded.family is Family.SEQ2SEQ

    @property
    def facts(self) -> Mapping[str, str]:
        """Facts of `Engine.describe`."""
        return self._alphabet.facts

    @cached_property
    def vocabulary(self) -> Future[Vocabulary]:
        """The model's tokens, made in a thread of their own when they are first wanted."""
        return grammar_threads().submit(Vocabulary, self._alphabet)

    def of(self, params: Mapping[str, Any]) -> Grammar | None:
        """The grammar that parameters ask for; None if they ask for none.

        Raises:
            InvalidParameter: this model cannot keep to it.
        """
        name = name_in(params)
        if name is None:
            return None
        notation = notation_of(name, params[name])
        self._refuse_unwritten(name, params[name])
        if self._is_behind_a_space:
            notation = behind_a_space(notation)
        return Grammar(notation, self.vocabulary, self.end_ids)

    def text_of(self, tokens: Sequence[int]) -> str:
        """The text that tokens of a document with a grammar are."""
        text = self._alphabet.text_of(tokens)
        return text.removeprefix(" ") if self._is_behind_a_space else text

    @cached_property
    def _is_behind_a_space(self) -> bool:
        """Whether outputs begin with a space that is not part of them: encoder-decoders are trained so."""
        return self._has_encoder and self._alphabet.begins_with_space

    def _refuse_unwritten(self, name: str, value: Any) -> None:
        kind = self.facts["structured_output"]
        if kind == "none":
            raise InvalidParameter(f"{name} is not served: {self.facts['why_no_structured_output']}")
        if kind == "choice" and name != "choice":
            raise InvalidParameter(
                f"{name} is not served: the model's tokenizer has no token for "
                f"{shown(self.facts['unwritten_characters'])}; ask by `choice`"
            )
        if kind == "unicode":
            return
        written = _of_choices(value) if name == "choice" else _beyond_ascii(value)
        unwritten = {each for each in written if not self._writes(each)}
        if unwritten:
            raise InvalidParameter(
                f"{name} asks for characters that the model's tokenizer has no token for: {shown(unwritten)}"
            )

    def _writes(self, character: str) -> bool:
        return " " <= character <= "~" and character not in self.facts.get("unwritten_characters", "")


def shown(characters: Collection[str]) -> str:
    """Some characters, for a message."""
    some = sorted(characters)[:_MOST_SHOWN]
    return ", ".join(map(repr, some)) + (" and others" if len(characters) > len(some) else "")


def _of_choices(choices: Collection[str]) -> set[str]:
    return set("".join(choices))


def _beyond_ascii(value: Any) -> set[str]:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return {each for each in text if not each.isascii()}


def _check(matcher: LLMatcher) -> None:
    if matcher.is_error():
        reason = matcher.get_error().split("\n")[0][:200]
        raise GrammarFailed(f"the grammar cannot be kept to: {reason}")
