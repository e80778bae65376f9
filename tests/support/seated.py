"""Rows of a batch state as a step of the decoding engine finds them, without an engine."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from models.decoding.scheduling.layout import Shape
from models.decoding.scheduling.pages import num_pages_for
from models.decoding.scheduling.request import Request, Sampling
from models.decoding.scheduling.staging import stage_record
from models.decoding.tensors.state import BatchState

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def make_state(num_seats: int, most_pages: int, vocabulary: int, max_chunk: int = 16) -> BatchState:
    """An empty one, on the device at hand."""
    return BatchState(
        num_seats=num_seats, most_pages=most_pages, max_chunk=max_chunk, max_begun=num_seats,
        vocabulary=vocabulary, device=DEVICE,
    )  # fmt: skip


def seat(state: BatchState, number: int, request: Request, pages: Sequence[int] = ()) -> None:
    """Puts a request into a seat, as its record would."""
    record = np.zeros(state.columns, np.int32)
    stage_record(record, request, np.asarray(pages, np.int32))
    state.rows[number] = torch.from_numpy(record).to(state.device)


def request_of(length: int, *, new_tokens: int = 40, seed: int = 0, **sampling: object) -> Request:
    """A request whose prompt has so many tokens, each 1."""
    return Request(
        key=seed,
        input_ids=np.ones(length, np.int32),
        max_new_tokens=new_tokens,
        sampling=Sampling(**sampling),  # type: ignore[arg-type]
        seed=seed,
    )


def all_seated(state: BatchState, count: int) -> Shape:
    """The shape of a step in which the first seats decode."""
    state.seats[:count] = torch.arange(count, dtype=torch.int32, device=state.device)
    return Shape(count, 0)


def page_tables(lengths: Sequence[int], num_pages: int, *, seed: int = 0) -> list[list[int]]:
    """Pages for rows of these lengths, shuffled, none of them shared, page 0 nobody's."""
    free = np.random.default_rng(seed).permutation(np.arange(1, num_pages)).tolist()
    return [[free.pop() for _ in range(num_pages_for(length))] for length in lengths]
