"""Reads sources: from their tokens to the keys and values that decoders attend to, in pages.

A pass is a function of one tensor, (documents, `columns_for(width)`): of each document the tokens,
padded to a width, the page of each token, how many tokens there are, and the decoder's first token.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.decoding.passes.encoder_decoder import EncoderDecoderForward
from models.decoding.passes.graphs import captured
from models.decoding.passes.joint_step import Entries, Ignored, OwnKeys, SourceBackend, SourceKeys
from models.decoding.tensors.kv_pages import KVPages
from models.memory import is_out_of_memory, release_cached_memory

logger = logging.getLogger(__name__)

Ints = NDArray[np.int32]

#: Behind the tokens of a document and their pages.
_LENGTH, _START = 0, 1
_MORE_COLUMNS = 2
#: Widths of which passes are captured ahead.
_WIDTHS = (16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)


class Reading:
    """One pass."""

    def __init__(self, forward: EncoderDecoderForward, backend: SourceBackend, pages: KVPages) -> None:
        """Sets up.

        Args:
            forward: the model.
            backend: puts keys and values into pages.
            pages: of sources.
        """
        self._forward, self._backend, self._pages = forward, backend, pages
        self.device = forward.device

    def run(self, inbox: Tensor) -> None:
        """Reads documents, as the head of this file says; a token whose page is 0 is kept nowhere."""
        width = width_of(inbox.shape[1])
        ids, cells = inbox[:, :width].long(), inbox[:, width : 2 * width]
        lengths, starts = inbox[:, 2 * width + _LENGTH, None], inbox[:, 2 * width + _START].long()
        mask = torch.arange(width, device=self.device) < lengths
        states = self._forward.encode(ids, mask.long())

        def store(layer: int, keys: Tensor, values: Tensor) -> None:
            self._backend.store_source(self._pages, layer, keys, values, cells)

        fill(self._forward, starts, states, store)


class Readings(Protocol):
    """Runs passes."""

    def width_for(self, longest: int) -> int:
        """What documents are padded to, the longest of which has so many tokens."""
        ...

    def run(self, inbox: Ints) -> None:
        """Reads documents whose pages there are; they are read when the next step runs."""
        ...

    def release(self) -> None:
        """Gives back the memory of whatever can be made again."""
        ...


class EagerReadings:
    """Operator by operator, no wider than needed."""

    def __init__(self, reading: Reading) -> None:
        self._reading = reading

    def width_for(self, longest: int) -> int:
        """As the interface says."""
        return longest

    def run(self, inbox: Ints) -> None:
        """As the interface says."""
        self._reading.run(torch.from_numpy(inbox).to(self._reading.device))

    def release(self) -> None:
        """Nothing is kept."""


class CapturedReadings:
    """CUDA graphs of a few shapes, captured when they are first needed.

    Read eagerly, the 27 passes of 512 sentences kept an H200 waiting for half of the time.
    """

    def __init__(self, reading: Reading, *, most_tokens: int) -> None:
        """Sets up.

        Args:
            reading: the pass.
            most_tokens: that a source can have.
        """
        self._reading, self._most_tokens = reading, most_tokens
        self._graphs: dict[tuple[int, int], tuple[torch.cuda.CUDAGraph, Tensor]] = {}
        self._stream = torch.cuda.Stream(reading.device)
        self._pool: Any = None
        self._is_eager = False

    def capture_ahead(self, max_tokens: int, *, within_seconds: float) -> None:
        """Captures passes of so many tokens and of a quarter, for so long; none where memory is short."""
        begun = time.monotonic()
        widths = [width for width in _WIDTHS if width <= self._most_tokens]
        shapes = [(max(1, max_tokens // share // width), width) for share in (1, 4) for width in widths]
        try:
            for count, width in shapes:
                shape = (padded_count(count), columns_for(width))
                if shape not in self._graphs and not self._is_eager:
                    self._prepare(shape)
                if time.monotonic() - begun > within_seconds:
                    break
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self.release()
            release_cached_memory()

    def width_for(self, longest: int) -> int:
        """As the interface says: a power of two, or one and a half."""
        return min(padded_width(longest), max(longest, self._most_tokens))

    def run(self, inbox: Ints) -> None:
        """As the interface says."""
        whole = with_nobody(inbox, padded_count(len(inbox)))
        shape = (len(whole), whole.shape[1])
        if shape not in self._graphs and not self._is_eager:
            self._prepare(shape)
        sent = torch.from_numpy(whole).pin_memory()
        if self._is_eager:
            self._reading.run(sent.to(self._reading.device, non_blocking=True))
            return
        graph, static = self._graphs[shape]
        static.copy_(sent, non_blocking=True)
        graph.replay()

    def release(self) -> None:
        """As the interface says."""
        self._graphs.clear()
        self._pool = None

    def _prepare(self, shape: tuple[int, int]) -> None:
        nobody = with_nobody(np.zeros((0, shape[1]), np.int32), shape[0])
        static = torch.from_numpy(nobody).to(self._reading.device)
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        try:
            graph = captured(partial(self._reading.run, static), self._stream, self._pool)
        except Exception as error:  # an encoder that reads numbers on the host
            if is_out_of_memory(error):
                raise
            torch.cuda.synchronize()  # raises if the device itself has failed
            self._is_eager = True
            logger.info("sources are read eagerly", extra={"action": "eager_sources", "reason": str(error)})
        else:
            self._graphs[shape] = (graph, static)


def stage_source(row: Ints, ids: Ints, pages: Ints) -> None:
    """Writes a document into its row: its tokens, and the page of each."""
    width, length = width_of(len(row)), len(ids)
    row[:length] = ids
    row[width : width + length] = pages
    row[2 * width + _LENGTH] = length


def columns_for(width: int) -> int:
    """Of the tensor that documents of so many tokens are read from."""
    return 2 * width + _MORE_COLUMNS


def width_of(columns: int) -> int:
    """The other way round."""
    return (columns - _MORE_COLUMNS) // 2


def padded_width(longest: int) -> int:
    """The next power of two, or one and a half of one, from 16 on."""
    longest = max(longest, 16)
    power = 1 << (longest - 1).bit_length()
    return power * 3 // 4 if longest <= power * 3 // 4 else power


def padded_count(documents: int) -> int:
    """1, 4, or a power of two from 16 on: few shapes, little padding."""
    return next((count for count in (1, 4, 16) if documents <= count), 1 << (documents - 1).bit_length())


def with_nobody(inbox: Ints, count: int) -> Ints:
    """As many documents as a shape has: those that are missing have one token, which is kept nowhere."""
    whole = np.zeros((count, inbox.shape[1]), np.int32)
    whole[: len(inbox)] = inbox
    whole[len(inbox) :, 2 * width_of(inbox.shape[1]) + _LENGTH] = 1
    return whole


def fill(
    forward: EncoderDecoderForward,
    start_ids: Tensor,
    states: Tensor,
    take_source: Callable[[int, Tensor, Tensor], None],
    take_own: Callable[[int, Tensor, Tensor], Entries] = lambda *_: Ignored(),
) -> Tensor:
    """Runs the decoder over encoded sources, only to have their keys and values; the scores mean nothing."""
    past = forward.past(torch.zeros_like(start_ids))
    caches = (OwnKeys(past, take_own), SourceKeys(lambda _: Ignored(), take_source))
    with forward.made_ours():
        return forward.fill(start_ids, caches, states)
