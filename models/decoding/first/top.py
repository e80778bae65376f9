"""The largest numbers of long rows, without looking closely at most of them."""

from __future__ import annotations

import torch
from torch import Tensor

_BLOCK = 64
_WORTH_IT = 4096  # numbers a row


def best_of_rows(rows: Tensor) -> tuple[Tensor, Tensor]:
    """The largest number of each row and its place, the first if there are several; both (rows,)."""
    num_columns = rows.shape[-1]
    in_blocks = num_columns - num_columns % _BLOCK
    if num_columns < _WORTH_IT:
        values, places = rows.max(dim=-1)
        return values, places
    blocks = rows[:, :in_blocks].unflatten(1, (-1, _BLOCK))
    chosen = blocks.amax(dim=-1).argmax(dim=-1, keepdim=True)  # (rows, 1)
    block = blocks.gather(1, chosen[:, :, None].expand(-1, -1, _BLOCK)).flatten(1)
    values, places = block.max(dim=-1)
    places = places + chosen[:, 0] * _BLOCK
    if in_blocks < num_columns:
        more, behind = rows[:, in_blocks:].max(dim=-1)
        is_behind = (more > values) | more.isnan()
        values, places = (
            torch.where(is_behind, more, values),
            torch.where(is_behind, behind + in_blocks, places),
        )
    return values, places


def top_of_rows(rows: Tensor, num_largest: int) -> tuple[Tensor, Tensor]:
    """As `rows.topk(num_largest)`: the values, descending, and their places; (rows, num_largest).

    A vocabulary has tens of thousands of numbers, and `topk` is slow on the CPU. The
    largest numbers lie in the blocks with the largest maxima, and maxima are fast.
    """
    num_columns = rows.shape[-1]
    if num_columns < _WORTH_IT or num_largest * _BLOCK * 2 > num_columns:
        return rows.topk(num_largest)
    in_blocks = num_columns - num_columns % _BLOCK
    blocks = rows[:, :in_blocks].unflatten(1, (-1, _BLOCK))
    chosen = blocks.amax(dim=-1).topk(num_largest).indices  # (rows, num_largest)
    candidates = blocks.gather(1, chosen[:, :, None].expand(-1, -1, _BLOCK)).flatten(1)
    places = (chosen[:, :, None] * _BLOCK + torch.arange(_BLOCK, device=rows.device)).flatten(1)
    if in_blocks < num_columns:  # the columns behind the last whole block are looked at one by one
        rest = torch.arange(in_blocks, num_columns, device=rows.device).expand(len(rows), -1)
        candidates, places = torch.cat([candidates, rows[:, in_blocks:]], 1), torch.cat([places, rest], 1)
    values, best = candidates.topk(num_largest)
    return values, places.gather(1, best)
