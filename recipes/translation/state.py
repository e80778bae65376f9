"""All that a training has come to, written so that a kill loses minutes and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import MarianMTModel

from recipes.training import Schedule, optimizers_for
from recipes.translation.batches import Position
from recipes.translation.plan import Plan

_MAX_GRADIENT_NORM = 1.0


class State:
    """The weights, their average, the optimizers, and how far the training has read.

    Attributes:
        model: as it is trained.
        step: how many there were.
        decay_from: the step at which the decay began; None before.
        position: of the next batch.
        seconds: of training so far, over all runs.
    """

    def __init__(self, model: MarianMTModel, plan: Plan) -> None:
        self.model = model
        self.step = 0
        self.decay_from: int | None = None
        self.position = Position()
        self.seconds = 0.0
        self._averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(1 - 1 / plan.averaged_steps))
        rates = Schedule(
            steps=plan.steps, warmup_steps=plan.warmup_steps, learning_rate=plan.learning_rate,
            matrix_learning_rate=plan.matrix_learning_rate,
        )  # fmt: skip
        self._optimizers = optimizers_for(model, rates)

    @property
    def averaged(self) -> MarianMTModel:
        """The average of the last weights: what is kept."""
        return cast("MarianMTModel", self._averaged.module)

    def update(self, rate_factor: float) -> None:
        """One step by the gradients that the model has."""
        nn.utils.clip_grad_norm_(self.model.parameters(), _MAX_GRADIENT_NORM)
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = group["initial_lr"] * rate_factor
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self._averaged.update_parameters(self.model)
        self.step += 1

    def save(self, path: Path) -> None:
        """Writes beside and renames."""
        partial = path.with_suffix(".partial")
        torch.save(self._contents(), partial)
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Goes on where `save` was called; from the beginning if the file is not there."""
        if not path.exists():
            return
        found: dict[str, Any] = torch.load(path, weights_only=True)
        self.model.load_state_dict(found["model"])
        self._averaged.load_state_dict(found["averaged"])
        for optimizer, state in zip(self._optimizers, found["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.step, self.decay_from, self.seconds = (
            found["step"], found["decay_from"], found["seconds"]
        )  # fmt: skip
        self.position = Position(*found["position"])

    def _contents(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(), "averaged": self._averaged.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
            "step": self.step, "decay_from": self.decay_from, "seconds": self.seconds,
            "position": [self.position.edition, self.position.batches],
        }  # fmt: skip


def saved_position(path: Path) -> Position:
    """Where the training in this file goes on to read; the beginning if the file is not there."""
    if not path.exists():
        return Position()
    return Position(*torch.load(path, weights_only=True, mmap=True)["position"])
