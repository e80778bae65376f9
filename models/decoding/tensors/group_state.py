"""The batch state of groups: rows that know their search, and who wrote what a row continues.

`ancestry[parity, seat, place]` is the seat that wrote the key which `seat` sees at `place`. To
choose beams permutes rows of this small table, and no key ever moves. There are two tables: at
an even position the first is read and the second written, at an odd one the other way round, so
that a kernel reads nothing that another is writing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from models.decoding.scheduling import group_layout, layout
from models.decoding.scheduling.pages import PAGE_TOKENS
from models.decoding.tensors.state import BatchState


class GroupState(BatchState):
    """Rows of all beams, and what a step says of each."""

    def __init__(
        self, *, num_seats: int, most_pages: int, most_source_pages: int, max_chunk: int, vocabulary: int,
        device: torch.device, is_exact: bool = False,
    ) -> None:  # fmt: skip
        """Makes the tensors.

        Args:
            num_seats: rows that can be taken.
            most_pages: of one row.
            most_source_pages: of the source of one document; 0: there are none.
            max_chunk: prompt tokens of a step.
            vocabulary: tokens that there are.
            device: where the model computes.
            is_exact: whether steps are as large as what they compute.
        """
        self.first_column = layout.PAGES + most_pages
        self.most_source_pages = most_source_pages
        super().__init__(
            num_seats=num_seats, most_pages=most_pages, max_chunk=max_chunk, max_begun=num_seats,
            vocabulary=vocabulary, device=device, is_exact=is_exact, keeps_seen=False,
            more_columns=group_layout.SOURCE_PAGES + most_source_pages,
        )  # fmt: skip
        shape = (2, num_seats + 1, most_pages * PAGE_TOKENS)
        self.ancestry = torch.full(shape, num_seats, dtype=torch.int16, device=device)
        #: what a step says; `chosen` of the plain state is not used
        self.said = torch.zeros(num_seats, group_layout.NUM_SAID, dtype=torch.int32, device=device)
        self._heard = [
            torch.zeros(self.said.shape, dtype=torch.int32, pin_memory=device.type == "cuda")
            for _ in range(2)
        ]

    def _nobody(self) -> None:
        super()._nobody()
        own = self.rows[:, self.first_column :]
        own[:, group_layout.WIDTH] = own[:, group_layout.NUM_CANDIDATES] = 1
        own[:, group_layout.SOURCE_LENGTH] = 1
        own[:, group_layout.LEADER] = self.num_seats
        own[:, group_layout.FORCED_FIRST] = -1

    def send(self, num_numbers: int, first_record: int) -> None:
        """Sends what was written; of who enters, the prompt is what the leader writes."""
        super().send(num_numbers, first_record)
        if num_numbers > first_record:
            records = self.inbox[first_record:num_numbers].view(-1, 1 + self.columns)
            leaders = records[:, 1 + self.first_column + group_layout.LEADER].to(torch.int16)
            writers = leaders[None, :, None].expand(2, -1, self.ancestry.shape[2])
            self.ancestry.index_copy_(1, records[:, 0].long(), writers)

    def inherit(self, seats: Tensor, parents: Tensor, positions: Tensor) -> None:
        """Lets rows see what their parents saw, and what those wrote at this position.

        Args:
            seats: (rows,) of the rows.
            parents: (rows,) of the rows that they continue.
            positions: (rows,) of the token that all have just been given.
        """
        positions = positions.long()
        seen = self.ancestry[positions % 2, parents]
        seen.scatter_(1, positions[:, None], parents[:, None].to(seen.dtype))
        self.ancestry[(positions + 1) % 2, seats] = seen

    def receive(self, num_rows: int) -> tuple[Tensor, torch.cuda.Event | None]:
        """Begins to fetch what was said, (rows, `NUM_SAID`)."""
        return self._fetch(self.said[:num_rows], self._heard[self._turn][:num_rows])
