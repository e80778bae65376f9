"""The text of tokens while they come, a piece at a time: no piece is ever taken back.

What a token says depends on its neighbours: a character may lie in several tokens, a word joins what
is before it, a stop string is cut off with all behind it. So a piece is given out once nothing that
follows can change it, and all pieces together are the beginning of the text that comes out in the end.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from models.tasks.texts import cut_at

_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"  #: how decoders write bytes that are no whole character
#: As sentencepiece names the bytes of characters that it has no token for.
_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
#: So many tokens are decoded together with new ones; once there are too many, the last few are kept.
_MOST_TOKENS, _KEPT_TOKENS = 64, 16


class GrowingText:
    """One text; see the module."""

    def __init__(
        self,
        decode: Callable[[list[int]], str],
        name_of: Callable[[int], object],
        before: Sequence[int],
        stop: Sequence[str] = (),
    ) -> None:
        """Nothing is there yet.

        Args:
            decode: text of token ids.
            name_of: how the tokenizer writes one token.
            before: the last tokens of what is continued.
            stop: strings that end the text, and are no part of it.
        """
        self._decode = decode
        self._name_of = name_of
        self._stop = tuple(stop)
        self._window = list(before)
        self._text_of_window = decode(self._window) if self._window else ""
        self._num_read = 0
        self._held = ""  # may be the beginning of a stop string
        self._has_ended = False

    def more(self, ids: Sequence[int]) -> str:
        """What is new of the text.

        Args:
            ids: all tokens so far. Fewer than before are no news: they are computed again.
        """
        new = self._closed(list(ids[self._num_read :]))
        if not new or self._has_ended:
            return ""
        text = self._decode(self._window + new)
        if text.endswith(_INCOMPLETE) or not text.startswith(self._text_of_window):
            return ""
        fresh = text[len(self._text_of_window) :]
        self._num_read += len(new)
        self._move_on(new, text)
        return self._released(fresh)

    def _closed(self, new: list[int]) -> list[int]:
        """Without bytes at the end: decoders read a run of them as a whole, or not at all."""
        while new and _BYTE.fullmatch(str(self._name_of(new[-1]))):
            new.pop()
        return new

    def _move_on(self, new: list[int], text: str) -> None:
        self._window += new
        self._text_of_window = text
        if len(self._window) > _MOST_TOKENS:
            self._window = self._window[-_KEPT_TOKENS:]
            self._text_of_window = self._decode(self._window)

    def _released(self, fresh: str) -> str:
        """What no stop string can take back."""
        text = self._held + fresh
        cut = cut_at(self._stop, text)
        if cut is not None:
            self._has_ended = True
            return cut
        num_held = max((_overlap(text, each) for each in self._stop), default=0)
        self._held = text[len(text) - num_held :]
        return text[: len(text) - num_held]


def comes_in_pieces(tokenizer: Any) -> bool:
    """Whether a tokenizer's text so far stays as it is: some tidy up spaces before what follows."""
    if not getattr(tokenizer, "clean_up_tokenization_spaces", False):
        return True
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return backend is not None and type(backend.model).__name__ == "BPE"  # of which transformers tidies none


def _overlap(text: str, stop: str) -> int:
    """How much of the end of a text is the beginning of a string that would end it."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
