"""Where sequences end in a stop string, as transformers' `StopStringCriteria` sees it.

That class finds out for every token of the vocabulary where in every stop string it may
stand: seconds for each new set of strings, in the one thread that computes for everybody.
The answer needs the bytes of the last few tokens only, which are found here as it finds
them, a token at a time and once for a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from transformers import StoppingCriteria, StopStringCriteria

from models.errors import InvalidParameter

_BEFORE = "abcdef"  #: a token is decoded behind it: alone, some lose the space in front


class TokenBytes:
    """What each token adds to a text, as bytes; also of pieces of a character."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: dict[int, bytes | None] = {}

    def __getitem__(self, token: int) -> bytes | None:
        """The bytes of a token; None of a number that the tokenizer has no token for.

        Raises:
            InvalidParameter: the tokenizer does not write what stands before a token as it was.
        """
        if token not in self._known:
            self._known[token] = self._bytes_of(token)
        return self._known[token]

    def _bytes_of(self, token: int) -> bytes | None:
        name = self._tokenizer.convert_ids_to_tokens(token) if 0 <= token < len(self._tokenizer) else None
        if name is None:
            return None
        mode, characters = self._mode
        exact = StopStringCriteria._token_to_bytes(name, mode, characters)
        if exact is not None:
            return bytes(exact)
        text = str(self._tokenizer.convert_tokens_to_string([*self._tokens_before, name]))
        if _BEFORE not in text:
            raise InvalidParameter(
                "stop: this model's tokenizer does not write a text as it was, so no string can be looked "
                "for in its tokens; leave `stop` out"
            )
        return text[text.index(_BEFORE) + len(_BEFORE) :].encode(errors="surrogatepass")

    @cached_property
    def _mode(self) -> tuple[str | None, dict[str, int] | None]:
        """How the tokenizer writes bytes, and what its characters stand for."""
        mode = StopStringCriteria._get_stop_string_matching_mode(self._tokenizer)
        return mode, StopStringCriteria._byte_level_decoder() if mode == "byte_level" else None

    @cached_property
    def _tokens_before(self) -> list[str]:
        ids = self._tokenizer(_BEFORE, add_special_tokens=False)["input_ids"]
        return list(self._tokenizer.convert_ids_to_tokens(ids))


class StopStrings:
    """A few strings, any of which ends a sequence."""

    def __init__(self, strings: Sequence[str], tokens: TokenBytes) -> None:
        self._strings = [string.encode(errors="surrogatepass") for string in strings]
        #: so many of the last tokens count, named as in `StopStringCriteria`
        self.maximum_token_len = max(map(len, self._strings))
        self._tokens = tokens

    def ends(self, ids: Sequence[int]) -> bool:
        """Whether one of the strings ends with the last token, or inside it."""
        last = self._tokens[ids[-1]] if ids else None
        if not last:
            return False
        before = self._before(ids)
        text = before + last
        # Whatever is found from here on ends in the last token.
        return any(text.find(string, max(0, len(before) - len(string) + 1)) >= 0 for string in self._strings)

    def _before(self, ids: Sequence[int]) -> bytes:
        """As much as may count of what stands before the last token."""
        found, num_bytes = [], 0
        for token in reversed(ids[-self.maximum_token_len : -1]):
            piece = self._tokens[token]
            if piece is None or num_bytes >= self.maximum_token_len:
                break
            found.append(piece)
            num_bytes += len(piece)
        return b"".join(reversed(found))


class StopAtStrings(StoppingCriteria):
    """The same for `generate`."""

    def __init__(self, stop: StopStrings) -> None:
        self._stop = stop

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        """Which rows have ended, (rows,)."""
        ends: Tensor = torch.tensor(end_in_stop(self._stop, input_ids.tolist()), device=input_ids.device)
        return ends


def end_in_stop(stop: StopStrings, sequences: Sequence[Sequence[int]]) -> list[bool]:
    """Which sequences end in a stop string; it looks at the last tokens alone."""
    return [stop.ends(ids) for ids in sequences]
