"""The tensors that decide what a step computes. Their addresses never change.

A row describes a sequence (`layout`): the host writes it when a request enters, afterwards the
device keeps it. The host says only who takes part, who gets a page, and which prompt tokens
are computed beside: one copy over, one back.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.decoding.scheduling import layout
from models.decoding.scheduling.layout import Shape

Ints = NDArray[np.int32]


class BatchState:
    """Rows of all sequences, the inbox of the next step, and what a step leaves behind."""

    def __init__(
        self, *, num_seats: int, most_pages: int, max_chunk: int, max_begun: int, vocabulary: int,
        device: torch.device, is_exact: bool = False, more_columns: int = 0, keeps_seen: bool = True,
    ) -> None:  # fmt: skip
        """Makes the tensors.

        Args:
            num_seats: rows that can be taken.
            most_pages: of one row.
            max_chunk: prompt tokens of a step.
            max_begun: rows that can be taken in one step.
            vocabulary: tokens that there are.
            device: where the model computes.
            is_exact: whether steps are as large as what they compute.
            more_columns: behind the page table, of a kind of state that knows more of a row.
            keeps_seen: whether tokens are noted for repetition penalties.
        """
        self.device = device
        self.num_seats = num_seats  # the seat behind the last is nobody's
        self.most_pages = most_pages
        self.vocabulary = vocabulary
        self.columns = layout.PAGES + most_pages + more_columns
        self.max_begun = max_begun
        largest = Shape(num_seats, max_chunk, own_blocks=max_chunk if is_exact else 0)
        size = 2 * num_seats + largest.prompt_ints + max_begun * (1 + self.columns)
        zeros = partial(torch.zeros, dtype=torch.int32, device=device)
        self.rows = zeros((num_seats + 1, self.columns))
        #: which tokens a sequence has, for those with a repetition penalty
        width = layout.padded(vocabulary) if keeps_seen else 1
        self.seen = torch.zeros(num_seats + 1, width, dtype=torch.uint8, device=device)
        self.inbox = zeros((size,))
        self.seats = zeros((num_seats,)).fill_(num_seats)
        self.token_ids = torch.zeros(num_seats + max_chunk, dtype=torch.long, device=device)
        self.positions = torch.zeros_like(self.token_ids)
        self.chosen = zeros((num_seats,))
        self._outgoing = [_host_ints(size, device) for _ in range(2)]
        self._incoming = [_host_ints(num_seats, device) for _ in range(2)]
        self._turn = 0
        self._nobody()

    def _nobody(self) -> None:
        nobody = np.zeros(self.columns, np.int32)
        nobody[layout.IS_DONE] = 1
        nobody[layout.LAST_POSITION] = 2**30
        nobody[layout.FORCED_LAST] = -1
        nobody[layout.IDS : layout.PAGES] = -1
        nobody[[layout.PENALTY, layout.TOP_P]] = np.ones(2, np.float32).view(np.int32)
        self.rows.copy_(torch.from_numpy(nobody).expand_as(self.rows))

    def rows_in(self, num_rows: int) -> tuple[Tensor, Tensor]:
        """Of the inbox: seats of the rows, and the page that each gets (0: none)."""
        at = self.num_seats
        return self.inbox[:num_rows], self.inbox[at : at + num_rows]

    def prompt_in(self, shape: Shape) -> Tensor:
        """Of the inbox: prompt tokens, their seats, their positions, then the blocks."""
        at = 2 * self.num_seats
        part: Tensor = self.inbox[at : at + shape.prompt_ints]
        return part

    def host_inbox(self) -> Ints:
        """Where the host writes the next step; the device may still be reading the one before."""
        self._turn = 1 - self._turn
        numbers: Ints = self._outgoing[self._turn].numpy()
        return numbers

    def send(self, num_numbers: int, first_record: int) -> None:
        """Sends what was written, and puts the records of who enters into their rows."""
        source = self._outgoing[self._turn]
        self.inbox[:num_numbers].copy_(source[:num_numbers], non_blocking=True)
        if num_numbers > first_record:
            records = self.inbox[first_record:num_numbers].view(-1, 1 + self.columns)
            seats = records[:, 0].long()
            self.rows.index_copy_(0, seats, records[:, 1:])
            self.seen.index_fill_(0, seats, 0)

    def vacate(self, shape: Shape) -> None:
        """An inbox of this shape with nobody in it: to try a step that changes nothing."""
        self.inbox.zero_()
        self.inbox[: shape.num_rows] = self.num_seats
        at = 2 * self.num_seats + shape.num_prompt
        self.inbox[at : at + shape.num_prompt] = self.num_seats

    def receive(self, num_rows: int) -> tuple[Tensor, torch.cuda.Event | None]:
        """Begins to fetch what was chosen; the tensor is filled once the event has come."""
        return self._fetch(self.chosen[:num_rows], self._incoming[self._turn][:num_rows])

    def _fetch(self, source: Tensor, target: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
        target.copy_(source, non_blocking=True)
        if self.device.type != "cuda":
            return target, None
        event = torch.cuda.Event()
        event.record()
        return target, event


def _host_ints(size: int, device: torch.device) -> Tensor:
    """Memory that a device copies from and to without waiting."""
    return torch.zeros(size, dtype=torch.int32, pin_memory=device.type == "cuda")
