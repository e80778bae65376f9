"""One training loop for every recipe: bfloat16 autocast, progress, checkpoint, resume.

Knows nothing of tasks: a recipe hands it a model, a function from step to batch and
a function from batch to loss. Batches are a function of the step alone, so a resumed
run sees exactly what the uninterrupted one would have seen.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

Batch = dict[str, Tensor]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How long and how fast to train."""

    steps: int
    learning_rate: float
    warmup_steps: int
    weight_decay: float = 0.01
    max_gradient_norm: float = 1.0
    #: of the hidden layers' matrices, which Muon then trains (https://kellerjordan.github.io/posts/muon);
    #: AdamW keeps embeddings, norms and biases. None: AdamW trains everything.
    matrix_learning_rate: float | None = None
    seed: int = 1
    checkpoint_seconds: float = 120.0
    report_steps: int = 50
    #: At most; where the clock is ahead of the steps, the rates follow the clock, so that they are low at the end.
    seconds: float | None = None

    def factor_at(self, step: int, elapsed_seconds: float = 0.0) -> float:
        """Of the learning rates: linear warm-up, then a cosine to a twentieth (e.g. GPT-3, appendix B)."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        done = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        if self.seconds is not None:
            done = max(done, elapsed_seconds / self.seconds)
        return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def train(
    model: nn.Module,
    batch_at: Callable[[int], Batch],
    loss_of: Callable[[nn.Module, Batch], Tensor],
    schedule: Schedule,
    *,
    checkpoint: Path | None = None,
) -> int:
    """Trains in place; picks up at `checkpoint` when that file exists.

    Returns:
        The number of steps, which is less than was asked for where time ran out.
    """
    device = next(model.parameters()).device
    optimizers = optimizers_for(model, schedule)
    first = _resume(checkpoint, model, optimizers)
    began = saved = shown = time.monotonic()
    model.train()
    done = first
    total, unreported = torch.zeros((), device=device), 0  # read when it is shown: a GPU is not waited for
    for step in range(first, schedule.steps):
        elapsed = time.monotonic() - began
        if schedule.seconds is not None and elapsed > schedule.seconds:
            break
        # Dropout, too, is a function of the step: a resumed run draws the same masks.
        torch.manual_seed(schedule.seed * 1_000_003 + step)
        batch = {name: value.to(device) for name, value in batch_at(step).items()}
        with torch.autocast(device.type, dtype=torch.bfloat16):
            loss = loss_of(model, batch)
        total += _update(
            model, loss, optimizers, schedule.factor_at(step, elapsed), schedule.max_gradient_norm
        )
        unreported += 1
        done = step + 1
        if (step + 1) % schedule.report_steps == 0:
            seconds = (time.monotonic() - shown) / unreported
            left = seconds * (schedule.steps - step - 1)
            mean = float(total) / unreported
            print(
                f"step {step + 1}/{schedule.steps}  loss {mean:.4f}  {seconds:.2f} s/step  {left:.0f} s left",
                flush=True,
            )
            shown, unreported = time.monotonic(), 0
            total.zero_()
        if checkpoint and time.monotonic() - saved > schedule.checkpoint_seconds:
            save_checkpoint(checkpoint, model, optimizers, step + 1)
            saved = time.monotonic()
    if checkpoint:
        save_checkpoint(checkpoint, model, optimizers, done)
    model.eval()
    return done


def save_checkpoint(path: Path, model: nn.Module, optimizers: Sequence[Optimizer], step: int) -> None:
    """Writes beside and renames, so that a kill never leaves half a checkpoint."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    states = [optimizer.state_dict() for optimizer in optimizers]
    torch.save({"model": model.state_dict(), "optimizers": states, "step": step}, partial)
    partial.replace(path)


def _resume(path: Path | None, model: nn.Module, optimizers: Sequence[Optimizer]) -> int:
    if path is None or not path.exists():
        return 0
    state: dict[str, Any] = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    for optimizer, saved in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(saved)
    print(f"resumed at step {state['step']} from {path}", flush=True)
    return int(state["step"])


def optimizers_for(model: nn.Module, schedule: Schedule) -> list[Optimizer]:
    """One for everything, or Muon beside it for the hidden layers' matrices."""
    rest = [p for p in model.parameters() if p.requires_grad]
    optimizers: list[Optimizer] = []
    if schedule.matrix_learning_rate is not None:
        embeddings = {m.weight for m in model.modules() if isinstance(m, nn.Embedding)}
        matrices = [p for p in rest if p.ndim == 2 and p not in embeddings]
        taken = set(matrices)
        rest = [p for p in rest if p not in taken]
        # Rates on the scale of AdamW's: Liu et al. 2025, "Muon is scalable for LLM training", section 2.2.
        optimizers.append(
            torch.optim.Muon(
                matrices,
                lr=schedule.matrix_learning_rate,
                weight_decay=schedule.weight_decay,
                adjust_lr_fn="match_rms_adamw",
            )
        )
    groups = [
        {"params": [p for p in rest if p.ndim >= 2], "weight_decay": schedule.weight_decay},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},  # biases and norms never decay
    ]
    optimizers.append(torch.optim.AdamW(groups, lr=schedule.learning_rate, betas=(0.9, 0.98), fused=True))
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        group.setdefault("initial_lr", group["lr"])
    return optimizers


def _update(
    model: nn.Module, loss: Tensor, optimizers: Sequence[Optimizer], rate_factor: float, max_norm: float
) -> Tensor:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * rate_factor
        optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(model.parameters(), max_norm)
    for optimizer in optimizers:
        optimizer.step()
    return loss.detach()
