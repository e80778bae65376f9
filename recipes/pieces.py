"""Weights in half precision, cut into files of a bounded size, and read back."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

_MOST_BYTES = 14 * 2**20


def save_pieces(model: nn.Module, folder: Path, name: str, *, most_bytes: int = _MOST_BYTES) -> list[Path]:
    """Writes `NAME-0.safetensors`, `NAME-1.safetensors`, ...; a tensor is never cut."""
    folder.mkdir(parents=True, exist_ok=True)
    pieces: list[dict[str, Tensor]] = [{}]
    size = 0
    for key, value in model.state_dict().items():
        half = value.detach().to("cpu", torch.float16).contiguous()
        if size + half.nbytes > most_bytes and pieces[-1]:
            pieces.append({})
            size = 0
        pieces[-1][key] = half
        size += half.nbytes
    paths = [folder / f"{name}-{number}.safetensors" for number in range(len(pieces))]
    for path, piece in zip(paths, pieces, strict=True):
        save_file(piece, path)
    return paths


def load_pieces(model: nn.Module, folder: Path, name: str) -> None:
    """Loads what `save_pieces` wrote.

    Raises:
        SystemExit: there is none; the message says where it was looked for.
    """
    paths = sorted(folder.glob(f"{name}-*.safetensors"))
    if not paths:
        raise SystemExit(f"no {name}-*.safetensors in {folder}")
    state = {key: value.float() for path in paths for key, value in load_file(path).items()}
    model.load_state_dict(state)
