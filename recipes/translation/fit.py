"""Training on a processor or a GPU, which may be killed and gone on with at any time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from recipes.translation.batches import Batch, Position
from recipes.translation.losses import Loss
from recipes.translation.plan import Plan
from recipes.translation.state import State

_REPORT_SECONDS = 30.0
_CHECKPOINT_SECONDS = 180.0
_EXAMINE_SECONDS = 600.0
CHECKPOINT, END_SOON = "checkpoint.pt", "end-soon"


def fit(
    state: State,
    batches_from: Callable[[Position], Iterator[Batch]],
    plan: Plan,
    folder: Path,
    *,
    examine: Callable[[State], None],
    compiled: bool = False,
) -> None:
    """Trains until the plan is over; a file named `end-soon` in the folder makes the decay begin.

    Args:
        state: what is trained; goes on where the folder's checkpoint was written.
        batches_from: the batches from a position on.
        plan: how long and how fast.
        folder: of the checkpoint.
        examine: looks at the state every ten minutes, and at the end.
        compiled: see `Loss`.
    """
    state.load(folder / CHECKPOINT)
    loss_of = Loss(state.model, compiled=compiled)
    batches = batches_from(state.position)
    progress, saves, looks = _Progress(), _Every(_CHECKPOINT_SECONDS), _Every(_EXAMINE_SECONDS)
    state.model.train()
    while not plan.is_over(state.step, state.decay_from):
        began = time.monotonic()
        if state.decay_from is None and plan.decay_begins(state.step, (folder / END_SOON).exists()):
            state.decay_from = state.step
        torch.manual_seed(plan.seed * 1_000_003 + state.step)  # dropout, too, when it is gone on with
        factor = plan.factor_at(state.step, state.decay_from)
        for batch in islice(batches, plan.batches_a_step):
            loss = loss_of(batch.sources, batch.targets)
            torch.autograd.backward(loss / plan.batches_a_step)
            progress.add(loss.detach(), batch.targets.numel())
            state.position = batch.next
        state.update(factor)
        state.seconds += time.monotonic() - began
        progress.show(state, factor)
        if saves.is_due():
            state.save(folder / CHECKPOINT)
        if looks.is_due():
            examine(state)
    state.save(folder / CHECKPOINT)
    examine(state)


class _Every:
    """True once in so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = time.monotonic()

    def is_due(self) -> bool:
        if time.monotonic() - self._last < self._seconds:
            return False
        self._last = time.monotonic()
        return True


class _Progress:
    """Prints a line now and then; looks at a loss only then, for that waits for a GPU."""

    def __init__(self) -> None:
        self._due = _Every(_REPORT_SECONDS)
        self._began = time.monotonic()
        self._losses: list[Tensor] = []
        self._tokens = 0

    def add(self, loss: Tensor, tokens: int) -> None:
        """Counts a batch."""
        self._losses.append(loss)
        self._tokens += tokens

    def show(self, state: State, factor: float) -> None:
        """The mean loss since the last line, and the pace."""
        if not self._due.is_due():
            return
        seconds = time.monotonic() - self._began
        mean = torch.stack(self._losses).float().mean().item()
        print(
            f"{state.seconds:8.0f} s  step {state.step}  edition {state.position.edition}  rate {factor:.3f}  "
            f"loss {mean:.3f}  {self._tokens / seconds:,.0f} target tokens/s",
            flush=True,
        )
        self._began, self._tokens = time.monotonic(), 0
        self._losses.clear()
