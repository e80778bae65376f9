"""Rows of token ids of different lengths, one after another in one array, on any device."""

from __future__ import annotations

import io
import lzma
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Ragged:
    """Token ids of many rows; a batch is cut out and padded on the device itself."""

    def __init__(self, flat: Tensor, lengths: Sequence[int]) -> None:
        self.lengths = list(lengths)
        self._flat = flat
        sizes = torch.tensor(self.lengths, device=flat.device)
        self._starts = torch.cumsum(sizes, 0) - sizes
        self._sizes = sizes

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], device: torch.device) -> Ragged:
        """From lists of ids."""
        flat = np.fromiter((token for row in rows for token in row), dtype=np.int32)
        return cls(torch.from_numpy(flat).to(device), [len(row) for row in rows])

    @classmethod
    def joined(cls, first: Ragged, second: Ragged) -> Ragged:
        """The rows of one, then those of the other."""
        return cls(torch.cat([first._flat, second._flat]), [*first.lengths, *second.lengths])

    def __len__(self) -> int:
        return len(self.lengths)

    def padded(self, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Ids, 0 where a row has ended, and the attention mask; both (rows, longest), int64."""
        chosen = torch.tensor(rows, device=self._flat.device)
        longest = max(self.lengths[row] for row in rows)  # here, not there: a GPU is not waited for
        places = torch.arange(longest, device=self._flat.device)
        mask = places < self._sizes[chosen][:, None]
        at = (self._starts[chosen][:, None] + places).clamp(max=len(self._flat) - 1)
        return self._flat[at].long() * mask, mask.long()


def save_rows(path: Path, rows: dict[str, Sequence[Sequence[int]]], **more: Any) -> None:
    """Packs named lists of rows (ids below 65,536), and other arrays, in one file (`.npz.xz`)."""
    arrays: dict[str, Any] = {}
    for name, part in rows.items():
        arrays[f"{name}.ids"] = np.fromiter((token for row in part for token in row), dtype=np.uint16)
        arrays[f"{name}.lengths"] = np.array([len(row) for row in part], dtype=np.uint16)
    content = io.BytesIO()
    np.savez(content, **arrays, **more)
    path.write_bytes(lzma.compress(content.getvalue()))


def load_arrays(path: Path) -> dict[str, Any]:
    """All arrays of a file written by `save_rows`."""
    with np.load(io.BytesIO(lzma.decompress(path.read_bytes()))) as packed:
        return {name: packed[name] for name in packed.files}


def load_rows(packed: Any, name: str, device: torch.device) -> Ragged:
    """Rows of a file written by `save_rows`."""
    flat = torch.from_numpy(packed[f"{name}.ids"].astype(np.int32)).to(device)
    return Ragged(flat, packed[f"{name}.lengths"].astype(int).tolist())
