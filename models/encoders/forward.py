"""One forward pass of an encoder over rows of tokens: padding, masks, and what a model remembers."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.encoders.framing import Tokens
from models.encoders.own_state import OwnState
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
        is_alone = len(rows) == 1 and len(rows[0].ids) == num_tokens
        self._state.restore()
        with self._told_of_padding(is_alone), self._seeded():
            outputs = self._model(**inputs, **self._options)
        self._state.note(num_tokens)
        return outputs

    def renew(self) -> None:
        """From now on the model is put back before every pass to what it is now, but for what it noted."""
        self._state.restore()
        self._state = OwnState(self._model)

    def own_places(self, scores: Tensor, rows: Sequence[Tokens]) -> list[NDArray[np.float32]]:
        """Scores of shape (rows, tokens) without those of padding, a row each."""
        values = scores.float().cpu().numpy()
        if self.padding.side == "left":
            return [one[len(one) - len(row.ids) :] for one, row in zip(values, rows, strict=True)]
        return [one[: len(row.ids)] for one, row in zip(values, rows, strict=True)]

    def _inputs(self, rows: Sequence[Tokens], num_tokens: int) -> dict[str, Tensor]:
        arrays = {
            "input_ids": self._padded([row.ids for row in rows], num_tokens, self.padding.token_id),
            "attention_mask": self._padded([[1] * len(row.ids) for row in rows], num_tokens, 0),
        }
        types = [row.types for row in rows if row.types is not None]
        if types:
            arrays["token_type_ids"] = self._padded(types, num_tokens, self.padding.type_id)
        return {
            name: torch.from_numpy(array).to(self._device)
            for name, array in arrays.items()
            if name == "input_ids" or name in self._accepted
        }

    def _padded(self, rows: Sequence[list[int]], num_tokens: int, padding: int) -> NDArray[np.int64]:
        padded = np.full((len(rows), num_tokens), padding, dtype=np.int64)
        for target, row in zip(padded, rows, strict=True):
            if self.padding.side == "left":
                target[num_tokens - len(row) :] = row
            else:
                target[: len(row)] = row
        return padded

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

    @contextlib.contextmanager
    def _seeded(self) -> Iterator[None]:
        if not self.draws:
            yield
            return
        devices = [] if self._device.type == "cpu" else [self._device]
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(_SEED)
            yield
