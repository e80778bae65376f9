"""The tokens of a model as llguidance knows them, and the grammars that have been read with them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Any

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from llguidance import TokenizerWrapper as Wrapper
from numpy.typing import NDArray

from models.decoding.grammars.alphabet import Alphabet

#: What a grammar may cost in a step and when it is read: with these, of the hostile ones that were tried,
#: the worst takes a quarter of a second before it is refused; with llguidance's own it takes seconds.
LIMITS: dict[str, Any] = {
    "initial_lexer_fuel": 100_000, "step_lexer_fuel": 20_000, "step_max_items": 20_000,
    "max_lexer_states": 20_000, "max_grammar_size": 100_000, "verbose_errors": False,
}  # fmt: skip
_MOST_KEPT = 64
WORD_BITS = 32
_BEFORE = "abcdef"
_END = b"\xff<end>"  #: no text has this byte, so no grammar asks for it by its text

Words = NDArray[np.uint32]  #: a bit for each token: whether it may come next


class Vocabulary:
    """The tokens of one model; made when its first grammar comes."""

    def __init__(self, alphabet: Alphabet) -> None:
        self._alphabet = alphabet
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, LLMatcher] = OrderedDict()
        tokens = [alphabet[number] for number in range(max(alphabet.num_tokens, max(alphabet.end_ids) + 1))]
        is_text = np.array([bool(written) for written in tokens])
        for number in alphabet.end_ids:
            tokens[number] = _END
            is_text[number] = True
        self.num_words = -(-len(tokens) // WORD_BITS)
        bits = np.packbits(is_text, bitorder="little")
        #: no grammar lets a special token be in a text, whatever it says
        self.in_texts: Words = np.zeros(self.num_words, np.uint32)
        self.in_texts.view(np.uint8)[: len(bits)] = bits
        tokeniser = _Tokeniser(tokens, alphabet)
        self._tokenizer = LLTokenizer(Wrapper(tokeniser), eos_token=list(alphabet.end_ids))

    def matcher(self, grammar: str) -> LLMatcher:
        """A grammar at its beginning; whether it could be read is for the caller to ask."""
        with self._lock:
            known = self._kept.get(grammar)
            if known is not None:
                self._kept.move_to_end(grammar)
        if known is None:
            limits = LLParserLimits(**LIMITS)
            known = LLMatcher(self._tokenizer, grammar, limits=limits, log_level=0)
            with self._lock:
                self._kept[grammar] = known
                if len(self._kept) > _MOST_KEPT:
                    self._kept.popitem(last=False)
        return known.deep_copy()


class _Tokeniser:
    """What llguidance asks of a tokenizer: its tokens, and which a given piece of text has.

    Where a grammar leaves no choice of text, the tokens are those that the tokenizer itself would
    make of it, as models have seen it in training; where that cannot be, the longest ones first.
    """

    bos_token_id = None

    def __init__(self, tokens: list[bytes], alphabet: Alphabet) -> None:
        self.tokens = tokens
        self.eos_token_id = alphabet.end_ids[0]
        self.special_token_ids = list(alphabet.end_ids)
        numbers = {written: number for number, written in reversed([*enumerate(tokens)])}
        self._numbers = {written: number for written, number in numbers.items() if written not in (b"", _END)}
        self._longest = max(map(len, self._numbers), default=0)
        self._encode = alphabet.own_encoder()

    def __call__(self, text: bytes | str) -> list[int]:
        """The tokens of a text."""
        if isinstance(text, str):
            text = text.encode()
        return self._by_tokenizer(text) or self._longest_first(text)

    def _by_tokenizer(self, text: bytes) -> list[int] | None:
        if self._encode is None:
            return None
        try:
            decoded = text.decode()
        except UnicodeDecodeError:
            return None
        for before in ("", _BEFORE):  # some put a space before what begins a text
            skipped, ids = self._encode(before), self._encode(before + decoded)
            rest = ids[len(skipped) :]
            if ids[: len(skipped)] == skipped and b"".join(self.tokens[each] for each in rest) == text:
                return rest
        return None

    def _longest_first(self, text: bytes) -> list[int]:
        """Up to the first byte that no token begins with."""
        found: list[int] = []
        place = 0
        while place < len(text):
            ends = range(min(len(text), place + self._longest), place, -1)
            token = next((n for end in ends if (n := self._numbers.get(text[place:end])) is not None), None)
            if token is None:
                break
            found.append(token)
            place += len(self.tokens[token])
        return found
