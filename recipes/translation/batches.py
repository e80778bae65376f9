"""Padded batches of an edition, cut on the device that trains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from random import Random

import numpy as np
import torch
from torch import Tensor

from recipes.batching import BucketedBatches
from recipes.translation.editions import Edition, Side

_POOL = 1 << 20  # rows that are sorted by length together: all


@dataclass(frozen=True)
class Position:
    """Of a batch among all editions."""

    edition: int = 0
    batches: int = 0  #: of that edition, before it


@dataclass(frozen=True)
class Batch:
    """Pairs of like length, padded."""

    sources: Tensor  #: (rows, tokens)
    targets: Tensor  #: (rows, tokens)
    next: Position  #: where to go on after it


def batches_of_all(
    editions: Iterable[Edition],
    first: Position,
    *,
    max_tokens: int,
    seed: int,
    pad: int,
    device: torch.device,
) -> Iterator[Batch]:
    """Those of edition after edition.

    Args:
        editions: from the position's on.
        first: of the first batch.
        max_tokens: of a batch and a side, with padding.
        seed: of the order.
        pad: token.
        device: where they are wanted.
    """
    begin = first.batches
    for number, edition in enumerate(editions, first.edition):
        found = batches(edition, number=number, max_tokens=max_tokens, seed=seed, pad=pad, device=device)
        for count, (sources, targets) in islice(enumerate(found, 1), begin, None):
            yield Batch(sources, targets, Position(number, count))
        begin = 0


class _Rows:
    """Rows of tokens on a device."""

    def __init__(self, side: Side, device: torch.device) -> None:
        self._tokens = torch.from_numpy(side.tokens.astype(np.int32)).to(device)
        starts = np.concatenate([[0], np.cumsum(side.lengths)[:-1]])
        self._starts = torch.from_numpy(starts).to(device)
        self._lengths = torch.from_numpy(side.lengths.astype(np.int64)).to(device)

    def padded(self, rows: Tensor, width: int, pad: int) -> Tensor:
        """(rows, width) tokens."""
        places = torch.arange(width, device=rows.device)
        inside = places < self._lengths[rows][:, None]
        at = (self._starts[rows][:, None] + places).clamp_(max=len(self._tokens) - 1)
        return torch.where(inside, self._tokens[at].long(), pad)


def batches(
    edition: Edition, *, number: int, max_tokens: int, seed: int, pad: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Sources and targets, each (rows, tokens), of an epoch; rows of like length, in a shuffled order.

    Args:
        edition: its tokens.
        number: of the epoch.
        max_tokens: of a batch and a side, with padding.
        seed: of the order.
        pad: token.
        device: where they are wanted.
    """
    source, target = edition
    lengths = np.maximum(source.lengths, target.lengths).tolist()
    sides = [_Rows(side, device) for side in edition]
    cut = BucketedBatches(
        lengths, max_tokens=max_tokens, seed=Random(f"{seed}:{number}").getrandbits(32), pool=_POOL
    )
    chosen = [cut.at(step) for step in range(cut.steps_per_epoch)]
    # Sent at once: a copy for each batch would wait for all that the device has still to compute.
    order = torch.tensor([row for rows in chosen for row in rows], device=device)
    for rows, numbers in zip(order.split([len(rows) for rows in chosen]), chosen, strict=True):
        widths = (int(side.lengths[numbers].max()) for side in edition)
        yield tuple(of.padded(rows, width, pad) for of, width in zip(sides, widths, strict=True))  # type: ignore[misc]
