"""Between the host's memory and a device's: one copy in and one copy out a batch, neither waited for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def staging(shape: Sequence[int], device: torch.device) -> Tensor:
    """Integers on the host that are on their way to a device.

    torch keeps pinned memory for the next who asks, once the copies out of it and into it are done.
    """
    return torch.empty(tuple(shape), dtype=torch.int64, pin_memory=device.type == "cuda")


def sent(staged: Tensor, device: torch.device) -> Tensor:
    """The same on the device; on a processor the very same."""
    return staged.to(device, non_blocking=True)


class Fetched:
    """Scores on their way to the host, and how long the device took for them."""

    def __init__(self, watch: Stopwatch, scores: Tensor) -> None:
        """Begins the copy; `scores` is of any shape and becomes float32."""
        scores = scores.float()
        self._watch = watch
        self._host = scores
        if scores.device.type == "cuda":
            self._host = torch.empty(scores.shape, dtype=scores.dtype, pin_memory=True)
            self._host.copy_(scores, non_blocking=True)
        watch.stop()

    @property
    def is_done(self) -> bool:
        """Whether they are there."""
        return self._watch.has_stopped

    def array(self) -> NDArray[np.float32]:
        """The scores; waits for them."""
        self._watch.wait()
        scores: NDArray[np.float32] = self._host.numpy()
        return scores

    @property
    def seconds(self) -> float:
        """Of the device, from the start of the watch; known once the scores are there."""
        return self._watch.seconds


class Stopwatch:
    """Measures on a device what it was given from now on until `stop`."""

    def __init__(self, device: torch.device) -> None:
        self._events: tuple[Any, Any] | None = None
        if device.type == "cuda":
            self._events = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            self._events[0].record()
        self._begun = time.monotonic()
        self._ended = self._begun

    def stop(self) -> None:
        """Ends what is measured."""
        self._ended = time.monotonic()
        if self._events is not None:
            self._events[1].record()

    @property
    def has_stopped(self) -> bool:
        """Whether the device has come so far."""
        return self._events is None or bool(self._events[1].query())

    def wait(self) -> None:
        """Until the device has come so far."""
        if self._events is not None:
            self._events[1].synchronize()

    @property
    def seconds(self) -> float:
        """Between, once the device has come so far."""
        if self._events is None:
            return self._ended - self._begun
        return float(self._events[0].elapsed_time(self._events[1])) / 1000
