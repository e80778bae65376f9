"""Training, by a number of steps or by the clock, on a processor or a GPU."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from transformers import MarianMTModel

from recipes.translation.batches import batches
from recipes.translation.editions import Edition

_REPORT_SECONDS = 5.0
_LABEL_SMOOTHING = 0.1
_MAX_GRADIENT_NORM = 1.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long and how fast."""

    seconds: float | None = None  #: the rate falls with the clock, and so does the training end
    steps: int | None = None  #: instead of seconds: the same steps on any machine
    learning_rate: float = 1e-3
    warmup_share: float = 0.1
    max_tokens: int = 16_384  #: of a batch and a side, with padding
    averaged_steps: int = 300  #: about so many of the last are averaged
    seed: int = 1

    def done_at(self, step: int, seconds: float) -> float:
        """The share that is done, from 0 to 1."""
        return seconds / self.seconds if self.seconds else step / (self.steps or 1)

    def rate_at(self, done: float) -> float:
        """Linear warm-up, then a cosine to a fiftieth."""
        if done < self.warmup_share:
            return self.learning_rate * max(done, 1e-3) / self.warmup_share
        left = 0.5 * (1 + math.cos(math.pi * min(1.0, (done - self.warmup_share) / (1 - self.warmup_share))))
        return self.learning_rate * (0.02 + 0.98 * left)


def fit(model: MarianMTModel, editions: Iterable[Edition], plan: Plan) -> int:
    """Trains; leaves the average of the last weights in the model, and returns the number of steps.

    The clock starts with the first batch, not with the wait for it.
    """
    device = model.device
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(1 - 1 / plan.averaged_steps))
    optimizer = torch.optim.AdamW(
        _groups(model), lr=plan.learning_rate, betas=(0.9, 0.98), fused=device.type == "cuda"
    )
    torch.manual_seed(plan.seed)
    model.train()
    progress, started, step = _Progress(), 0.0, 0
    for sources, targets in _endless(editions, plan, _pad_of(model), device):
        started = started or time.monotonic()
        done = plan.done_at(step, time.monotonic() - started)
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = plan.rate_at(done)
        with torch.autocast(device.type, dtype=torch.bfloat16):
            loss = _loss(model, sources, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), _MAX_GRADIENT_NORM)
        optimizer.step()
        averaged.update_parameters(model)
        step += 1
        progress.add(loss.detach(), step, done, targets.numel())
    model.load_state_dict(averaged.module.state_dict())
    model.eval()
    return step


class _Progress:
    """Prints a line every few seconds; looks at a loss only then, for that waits for the device."""

    def __init__(self) -> None:
        self._shown = time.monotonic()
        self._losses: list[Tensor] = []
        self._tokens = 0

    def add(self, loss: Tensor, step: int, done: float, tokens: int) -> None:
        """Counts a step."""
        self._losses.append(loss)
        self._tokens += tokens
        seconds = time.monotonic() - self._shown
        if seconds < _REPORT_SECONDS:
            return
        mean = torch.stack(self._losses).float().mean().item()
        print(
            f"step {step}  {done:.0%}  loss {mean:.3f}  {len(self._losses) / seconds:.1f} steps/s  "
            f"{self._tokens / seconds:,.0f} target tokens/s",
            flush=True,
        )
        self._shown, self._tokens = time.monotonic(), 0
        self._losses.clear()


def _endless(
    editions: Iterable[Edition], plan: Plan, pad: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    for number, edition in enumerate(editions):
        yield from batches(
            edition, number=number, max_tokens=plan.max_tokens, seed=plan.seed, pad=pad, device=device
        )


def _loss(model: MarianMTModel, sources: Tensor, targets: Tensor) -> Tensor:
    pad = _pad_of(model)
    start = torch.full_like(targets[:, :1], pad)  # Marian decodes from the padding token
    logits = model(
        input_ids=sources,
        attention_mask=sources.ne(pad).long(),
        decoder_input_ids=torch.cat([start, targets[:, :-1]], dim=1),
        use_cache=False,
    ).logits  # (rows, tokens, vocabulary)
    return nn.functional.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=pad, label_smoothing=_LABEL_SMOOTHING
    )


def _pad_of(model: MarianMTModel) -> int:
    pad = model.config.pad_token_id
    assert pad is not None
    return pad


def _groups(model: nn.Module) -> list[dict[str, object]]:
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": 0.01},
        {
            "params": [p for p in parameters if p.ndim < 2],
            "weight_decay": 0.0,
        },  # biases and norms never decay
    ]
