"""One forward pass as the attention sees it: which rows belong to which slots.

Everything in a transformer but attention works on each token by itself, so the tokens
of all documents stand in one row of a batch, without padding. Only attention asks whose
token it is. A `StepPlan` answers: rows of documents that decode go arena by arena, and a
run of a prompt's tokens is attended to by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from models.decoding.first.arena import Arena, Tenant


@dataclass(frozen=True, eq=False)
class ArenaPart:
    """The rows of one arena's tenants in a step; `width` rows a slot, some of which may be absent."""

    arena: Arena
    slots: slice  #: of the arena
    width: int  #: rows a slot; 1 in the first step of documents of several sequences
    rows: slice | Tensor  #: of the step
    cells: Tensor  #: slot (counted from the first of `slots`) * width + sequence, (rows,)
    is_full: bool  #: every cell has its row, in order
    entries: Tensor | None  #: where each row writes, (rows,); None: it only reads
    num_visible: int  #: entries that the attention looks at

    @cached_property
    def row_slots(self) -> Tensor:
        """The slot of each row."""
        slots: Tensor = self.cells // self.width + self.slots.start
        return slots

    @property
    def num_slots(self) -> int:
        """Slots looked at."""
        return int(self.slots.stop - self.slots.start)

    @cached_property
    def bias(self) -> Tensor:
        """(slots, 1, width, entries), without gaps, which all layers would close again."""
        return self.arena.bias[self.slots, : self.width, : self.num_visible].unsqueeze(1).contiguous()


@dataclass(frozen=True, eq=False)
class Run:
    """Tokens of one prompt, in order."""

    tenant: Tenant
    rows: slice  #: of the step
    start: int  #: the entry of the first

    @property
    def num_tokens(self) -> int:
        """How many."""
        return int(self.rows.stop - self.rows.start)

    @property
    def stop(self) -> int:
        """The entry behind the last."""
        return self.start + self.num_tokens


@dataclass(frozen=True, eq=False)
class StepPlan:
    """What the self-attention of one forward pass needs to know."""

    num_rows: int
    positions: Tensor  #: (rows,)
    parts: Sequence[ArenaPart]
    runs: Sequence[Run] = ()
    #: the largest number of positions any row sees; what a relative bias must cover
    num_positions: int = 1
    notes: dict[object, Tensor] = field(default_factory=dict)  #: computed once, used by every layer


def index(numbers: Sequence[int], device: torch.device) -> Tensor:
    """Numbers as an index."""
    return torch.tensor(numbers, dtype=torch.long, device=device)
