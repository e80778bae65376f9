"""What the tokens of a tokenizer write, as bytes, and whether a grammar can be kept to with them.

A grammar is about text, a model chooses tokens: what a text is under a grammar is what its tokens
write, one behind the other. That holds for tokenizers that write a token in the same way wherever it
stands; for others nothing is served, and the model's facts say why.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from typing import Any

from models.loading.stops import TokenBytes

#: What JSON is made of, and most of what people ask for.
_ASCII = [chr(number) for number in range(0x20, 0x7F)]
_NUM_BYTES = 256
_NUM_TRIED, _TRIED_TOKENS = 8, 8
_BEFORE = "abcdef"  #: as of `TokenBytes`: tokens are looked at behind it
_WORD_START = "\u2581"  #: sentencepiece's space
_NO_CHARACTERS = "its tokenizer has no tokens of one character"
_NOT_ONE_BY_ONE = "its tokenizer does not write a text token by token"


class Alphabet:
    """The tokens of one tokenizer."""

    def __init__(self, tokenizer: Any, end_ids: Collection[int]) -> None:
        """Sets up.

        Args:
            tokenizer: of the model.
            end_ids: tokens with which the model ends a text.
        """
        self.end_ids = tuple(end_ids)
        self._tokenizer = tokenizer
        self._bytes = TokenBytes(tokenizer)
        added = tokenizer.added_tokens_decoder
        special = {number for number, token in added.items() if token.special}
        self._not_text = special | set(tokenizer.all_special_ids) | set(end_ids)
        self._added = {
            number: token.content.encode(errors="surrogatepass")
            for number, token in added.items()
            if number not in self._not_text
        }

    @property
    def num_tokens(self) -> int:
        """Tokens that there are."""
        return len(self._tokenizer)

    def __getitem__(self, token: int) -> bytes:
        """What a token writes; nothing, if it is special."""
        if token in self._not_text:
            return b""
        return self._added[token] if token in self._added else self._bytes[token] or b""

    def text_of(self, tokens: Sequence[int]) -> str:
        """What tokens write together; of a character that is not complete, a replacement."""
        return b"".join(map(self.__getitem__, tokens)).decode(errors="replace")

    @property
    def begins_with_space(self) -> bool:
        """Whether the tokenizer writes a space before the first word of a text, as sentencepiece does."""
        ids = self._tokenizer("a", add_special_tokens=False)["input_ids"]
        return bool(ids) and self[ids[0]].startswith(b" ")

    def own_encoder(self) -> Callable[[str], list[int]] | None:
        """Tokens of a text, by a copy that threads may use beside the tokenizer; None of a slow one.

        A special token that is written in the text is text.
        """
        if not self._tokenizer.is_fast:
            return None
        own = copy.copy(self._tokenizer.backend_tokenizer)
        own.no_truncation()
        own.no_padding()
        own.encode_special_tokens = True
        return lambda text: list(own.encode(text, add_special_tokens=False).ids)

    @cached_property
    def facts(self) -> dict[str, str]:
        """Which grammars can be kept to, for `Engine.describe`.

        `unicode`: of any text; `ascii`: of text in ASCII alone; `choice`: choices without
        `unwritten_characters`; `none`: none, and why.
        """
        if not self.end_ids:
            return {"structured_output": "none", "why_no_structured_output": "no token ends its texts"}
        try:
            is_plain = self._writes_token_by_token()
        except Exception:  # foreign code reading foreign files: no list of types is complete
            is_plain = False
        if not is_plain:
            return {"structured_output": "none", "why_no_structured_output": _NOT_ONE_BY_ONE}
        missing = "".join(each for each in _ASCII if not self._has(each.encode(), each, _WORD_START))
        if len(missing) == len(_ASCII):
            return {"structured_output": "none", "why_no_structured_output": _NO_CHARACTERS}
        if missing:
            return {"structured_output": "choice", "unwritten_characters": missing}
        return {"structured_output": "unicode" if self._writes_bytes() else "ascii"}

    def _writes_bytes(self) -> bool:
        return all(self._has(bytes([number])) for number in _BYTES_BEYOND_ASCII)

    def _has(self, wanted: bytes, *names: str) -> bool:
        """Whether a token of one of these names, or of those that bytes have, writes just this."""
        return any(
            self[number] == wanted
            for name in (*names, f"<0x{wanted[0]:02X}>", _BYTE_NAMES[wanted[0]])
            if (number := self._number_of(name)) is not None
        )

    def _number_of(self, name: str) -> int | None:
        try:
            number: int | None = self._tokenizer.convert_tokens_to_ids(name)
        except ValueError:  # Canine's tokens are characters
            return None
        return number

    def _writes_token_by_token(self) -> bool:
        """Whether the tokenizer writes some texts as their tokens, each by itself."""
        draw = random.Random(0)
        before = self._tokenizer(_BEFORE, add_special_tokens=False)["input_ids"]
        for _ in range(_NUM_TRIED):
            ids = [draw.randrange(self.num_tokens) for _ in range(_TRIED_TOKENS)]
            ids = [number for number in ids if _is_text(self[number])]
            written = self._tokenizer.decode(
                [*before, *ids], skip_special_tokens=True, clean_up_tokenization_spaces=False
            )
            if written != _BEFORE + self.text_of(ids):
                return False
        return True


#: Bytes of characters beyond ASCII, and the control characters that texts hold.
_BYTES_BEYOND_ASCII = [*range(0x80, 0xC0), *range(0xC2, 0xF5), 0x09, 0x0A]


def _is_text(written: bytes) -> bool:
    """Whether it is whole characters."""
    try:
        return bool(written.decode())
    except UnicodeDecodeError:
        return False


def _byte_names() -> list[str]:
    """How GPT-2's alphabet writes bytes: printable Latin-1 as itself, others in order from U+0100."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(number if number in printable else next(others)) for number in range(_NUM_BYTES)]


_BYTE_NAMES = _byte_names()
