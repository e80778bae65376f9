"""One forward pass of an encoder over rows of tokens: padding, masks, and what a model remembers."""

from __future__ import annotations

import contextlib
import inspect
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.encoders.framing import Tokens
from models.encoders.masks import unasked
from models.encoders.own_state import OwnState
from models.encoders.transfer import sent, staging
from models.loading.registry import LoadedModel

_SEED = 0  #: for models that draw random numbers as they compute


@dataclass(frozen=True, kw_only=True)
class Padding:
    """How rows are brought to one length."""

    side: str  #: left | right
    token_id: int
    type_id: int = 0
    #: The configuration names none that can be used, so it is told this one unless a row is computed alone:
    #: decoders that classify look for each row's last token that is not padding.
    is_ours: bool = False


class EncoderForward:
    """Runs a model on rows; a row alone is computed as transformers would, without padding unless asked."""

    def __init__(self, loaded: LoadedModel) -> None:
        self._model = loaded.model
        self._device = loaded.device.torch
        self._accepted = frozenset(inspect.signature(loaded.model.forward).parameters)
        self._options = {"use_cache": False} if "use_cache" in self._accepted else {}
        self._config = loaded.config.get_text_config()
        self._own_pad_id: int | None = self._config.pad_token_id
        loaded.config.return_dict = True  # a configuration may ask for tuples
        self._state = OwnState(loaded.model)
        self.padding = Padding(side="right", token_id=self._own_pad_id or 0)
        self.draws = False  #: the model draws random numbers, which are made the same for every pass
        self.is_unasked = False  #: masks are made without looking at them, see `masks`

    @property
    def own_pad_id(self) -> int | None:
        """The padding that the model's configuration names."""
        return self._own_pad_id

    def __call__(self, rows: Sequence[Tokens], num_tokens: int = 0) -> Any:
        """The model's outputs.

        Args:
            rows: of one batch.
            num_tokens: that every row is padded to; the longest row's if that is more.
        """
        num_tokens = max(num_tokens, *(len(row.ids) for row in rows))
        inputs = self._inputs(rows, num_tokens)
        has_padding = any(len(row.ids) < num_tokens for row in rows)
        is_alone = len(rows) == 1 and not has_padding
        self._state.restore()
        with self._told_of_padding(is_alone), self._seeded(), self._masked(has_padding):
            outputs = self._model(**inputs, **self._options)
        self._state.note(num_tokens)
        return outputs

    def renew(self) -> None:
        """From now on the model is put back before every pass to what it is now, but for what it noted."""
        self._state.restore()
        self._state = OwnState(self._model)

    def own_places(self, scores: NDArray[np.float32], rows: Sequence[Tokens]) -> list[NDArray[np.float32]]:
        """Scores of shape (rows, tokens, ...) without those of padding, a row each."""
        if self.padding.side == "left":
            return [one[len(one) - len(row.ids) :] for one, row in zip(scores, rows, strict=True)]
        return [one[: len(row.ids)] for one, row in zip(scores, rows, strict=True)]

    def _inputs(self, rows: Sequence[Tokens], num_tokens: int) -> dict[str, Tensor]:
        """What the model is called with, in one copy."""
        has_types = rows[0].types is not None
        given = {"input_ids": True, "attention_mask": True, "token_type_ids": has_types}
        names = [name for name in given if given[name] and (name == "input_ids" or name in self._accepted)]
        staged = staging((len(names), len(rows), num_tokens), self._device)
        arrays = dict(zip(names, staged.numpy(), strict=True))
        own = self._own(rows, num_tokens)
        num_own = int(own.sum())
        _fill(arrays["input_ids"], own, self.padding.token_id, [row.ids for row in rows], num_own)
        if "attention_mask" in arrays:
            arrays["attention_mask"][:] = own
        if "token_type_ids" in arrays:
            types = [row.types or [] for row in rows]
            _fill(arrays["token_type_ids"], own, self.padding.type_id, types, num_own)
        return dict(zip(names, sent(staged, self._device), strict=True))

    def _own(self, rows: Sequence[Tokens], num_tokens: int) -> NDArray[np.bool_]:
        """Which places, of shape (rows, tokens), are not padding."""
        lengths = np.fromiter((len(row.ids) for row in rows), np.int64, len(rows))[:, None]
        places = np.arange(num_tokens)
        is_own: NDArray[np.bool_] = places < lengths
        return places >= num_tokens - lengths if self.padding.side == "left" else is_own

    @contextlib.contextmanager
    def _told_of_padding(self, is_alone: bool) -> Iterator[None]:
        if not self.padding.is_ours or is_alone:
            yield
            return
        self._config.pad_token_id = self.padding.token_id
        try:
            yield
        finally:
            self._config.pad_token_id = self._own_pad_id

    def _masked(self, has_padding: bool) -> contextlib.AbstractContextManager[None]:
        if not self.is_unasked:
            return contextlib.nullcontext()
        return unasked(self._model, has_padding=has_padding)

    @contextlib.contextmanager
    def _seeded(self) -> Iterator[None]:
        if not self.draws:
            yield
            return
        devices = [] if self._device.type == "cpu" else [self._device]
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(_SEED)
            yield


def _fill(
    target: NDArray[np.int64], own: NDArray[np.bool_], padding: int, rows: Sequence[list[int]], num_own: int
) -> None:
    """Writes rows to their own places, and padding to the others."""
    target[:] = padding
    target[own] = np.fromiter(itertools.chain.from_iterable(rows), np.int64, num_own)
