"""Between text and tokens: what a model reads of a text, and what its output says."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise
from typing import Any

from models.loading.registry import LoadedModel


def text_of(loaded: LoadedModel, ids: list[int]) -> str:
    """The text of token ids, without special tokens."""
    return str(loaded.tokenizer.decode(ids, skip_special_tokens=True))


def cut_at(stop: Iterable[str], text: str) -> str | None:
    """The text before the first of some strings; None when none is in it."""
    found = [place for each in stop if (place := text.find(each)) >= 0]
    return text[: min(found)] if found else None


class TextEncoder:
    """Makes tokens of users' texts; a special token written in a text is text like any other.

    A caller who means the tokens says `parse`, and gets what transformers does by default.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        added = tokenizer.added_tokens_decoder.values()
        named = {str(token) for token in tokenizer.all_special_tokens}
        special = named | {token.content for token in added if token.special}
        self._special = any_of(special)
        self._words = any_of({token.content for token in added} - special)
        #: those that no text can mean; a model may call an ordinary character its padding
        self._special_ids = frozenset(
            tokenizer.convert_tokens_to_ids(token) for token in special if len(token) > 1
        ) - {tokenizer.unk_token_id}
        self._unknown = tokenizer.unk_token or "\0"  # its id says nothing: other text has it, too
        self._has_marks = hasattr(tokenizer, "remove_language_code")  # Marian reads `>>fra<<` in front
        self._num_marks = self._num_special(self._call(["a"], add_special_tokens=True)[0])

    def encode(
        self, texts: Sequence[str], *, parse: bool = False, add_special_tokens: bool = True
    ) -> list[list[int]]:
        """Token ids of each text.

        Args:
            texts: as users wrote them.
            parse: special tokens in them are tokens. A text that begins with the token for the
                beginning gets no second one.
            add_special_tokens: whether the tokenizer's own marks are put around each.
        """
        if not texts:
            return []
        if parse:
            return [self._with_one_beginning(ids) for ids in self._call(texts, add_special_tokens)]
        if self._tokenizer.is_fast:
            encoded = self._call(texts, add_special_tokens, split_special_tokens=True)
            make = self._literal_by_parts
        else:
            encoded = self._call([self._harmless(text) for text in texts], add_special_tokens)
            make = self._literal_by_words
        num_marks = self._num_marks if add_special_tokens else 0
        for place, text in enumerate(texts):
            # To search the text would cost more than to tokenise it where languages are special tokens.
            if self._num_special(encoded[place]) > num_marks or self._unknown in text:
                literal = make(text)
                encoded[place] = self._with_marks(literal) if add_special_tokens else literal
        return encoded

    def knows(self, text: str) -> bool:
        """Whether the model has tokens for all of a short text."""
        if self._tokenizer.unk_token_id is None:
            return True
        ids = self.encode([text], add_special_tokens=False)[0]
        return bool(ids) and self._tokenizer.unk_token_id not in ids

    def _call(self, texts: Sequence[str], add_special_tokens: bool, **options: Any) -> list[list[int]]:
        encoded = self._tokenizer(
            list(texts),
            add_special_tokens=add_special_tokens,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,  # of a text longer than the model: that is our affair
            **options,
        )
        ids: list[list[int]] = encoded["input_ids"]
        return ids

    def _num_special(self, ids: Sequence[int]) -> int:
        return sum(map(self._special_ids.__contains__, ids))

    def _with_one_beginning(self, ids: list[int]) -> list[int]:
        beginning = self._tokenizer.bos_token_id
        return ids[1:] if beginning is not None and ids[:2] == [beginning, beginning] else ids

    def _harmless(self, text: str) -> str:
        """A text that a slow tokenizer takes for text: white space in front is dropped by it."""
        return f" {text}" if self._has_marks and text.startswith(">>") else text

    def _literal_by_parts(self, text: str) -> list[int]:
        """Ids without the meaning of special tokens, by a tokenizer that can leave it out."""
        ids = self._call([text], add_special_tokens=False, split_special_tokens=True)[0]
        if self._special_ids.isdisjoint(ids):
            return ids
        # The vocabulary itself has the whole token (Unigram's does): show it halves.
        backend = self._tokenizer.backend_tokenizer
        if backend.normalizer is not None:
            text = backend.normalizer.normalize_str(text)
        parts = [text]
        if backend.pre_tokenizer is not None:
            parts = [part for part, _ in backend.pre_tokenizer.pre_tokenize_str(text)]
        halves = [half for part in parts for half in self._broken(part)]
        return [token.id for half in halves for token in backend.model.tokenize(half)]

    def _literal_by_words(self, text: str) -> list[int]:
        """As `_literal_by_parts`, by a slow tokenizer, whose added words still are words."""
        ids: list[int] = []
        for part in _split(self._words, text):
            if self._words.fullmatch(part):
                ids.append(self._tokenizer.convert_tokens_to_ids(part))
                continue
            found = self._ids_of(part)
            if not self._special_ids.isdisjoint(found):
                found = [token for half in self._broken(part) for token in self._ids_of(half)]
            ids += found
        return ids

    def _ids_of(self, part: str) -> list[int]:
        tokens = self._tokenizer.tokenize(self._harmless(part), split_special_tokens=True)
        return list(self._tokenizer.convert_tokens_to_ids(tokens))

    def _broken(self, text: str) -> list[str]:
        """The text cut inside each special token, so that none is there to be found."""
        places = [0, *(found.start() + 1 for found in self._special.finditer(text)), len(text)]
        return [text[start:stop] for start, stop in pairwise(places) if start < stop]

    def _with_marks(self, ids: list[int]) -> list[int]:
        """What the tokenizer puts around every text, around these ids."""
        bare, marked = (self._call(["a"], add_special_tokens=wanted)[0] for wanted in (False, True))
        place = next(n for n in range(len(marked)) if marked[n : n + len(bare)] == bare)
        return [*marked[:place], *ids, *marked[place + len(bare) :]]


def any_of(words: Collection[str]) -> re.Pattern[str]:
    """Finds any of some words, the longest first; of none, nothing."""
    longest_first = sorted(filter(None, words), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")  # (?!) is found nowhere


def _split(words: re.Pattern[str], text: str) -> Iterator[str]:
    start = 0
    for found in words.finditer(text):
        yield from filter(None, (text[start : found.start()], found.group()))
        start = found.end()
    if start < len(text):
        yield text[start:]
