"""The device a worker computes on: which it is, how much memory it has, how many threads.

One process has one device. A CUDA worker is pinned by `CUDA_VISIBLE_DEVICES` before
torch loads (`workers` does that), and then sees its one device as `cuda:0`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import torch

from models.errors import CannotLoad

#: Share of the memory that warm models may take; the rest is for activations and caches.
_MODEL_SHARE = 0.5
#: Where Linux says how much memory this container may use (cgroup v2, then v1).
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


@dataclass(frozen=True, kw_only=True)
class Device:
    """One device, resolved."""

    name: str  #: `cpu` or `cuda:N`, as torch writes it
    title: str  #: for people
    memory_bytes: int  #: all of it, free or not
    num_threads: int  #: CPU threads torch may use for one operation
    has_fast_bfloat16: bool  #: bfloat16 products run in hardware

    @property
    def torch(self) -> torch.device:
        """The same as torch's own type."""
        return torch.device(self.name)

    @property
    def is_cpu(self) -> bool:
        """Whether computing happens on the CPU."""
        return self.name == "cpu"

    @property
    def default_budget_bytes(self) -> int:
        """What warm models may take when no budget is set."""
        return int(self.memory_bytes * _MODEL_SHARE)


def prepare_device(name: str = "auto", *, num_threads: int = 0) -> Device:
    """Finds the device and sets torch's threads, once per process and before any model.

    Args:
        name: `auto` (the first CUDA device, else the CPU), `cpu`, or `cuda:N`.
        num_threads: CPU threads; 0: every core this process may run on.

    Raises:
        CannotLoad: there is no such device here.
    """
    num_threads = num_threads or available_cores()
    torch.set_num_threads(num_threads)
    if name == "auto":
        name = "cuda:0" if torch.cuda.is_available() else "cpu"
    if name == "cpu":
        return Device(
            name=name,
            title="CPU",
            memory_bytes=_host_memory_bytes(),
            num_threads=num_threads,
            has_fast_bfloat16=_cpu_has_fast_bfloat16(),
        )
    return _cuda_device(name, num_threads)


def available_cores() -> int:
    """Cores this process may run on (an affinity mask counts, where the system has one)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cuda_device(name: str, num_threads: int) -> Device:
    index = torch.device(name).index or 0
    if not torch.cuda.is_available() or index >= torch.cuda.device_count():
        raise CannotLoad(f"device {name} is not here; torch sees {torch.cuda.device_count()} CUDA device(s)")
    # cuDNN's attention plans anew for every shape, about 100 ms each, and here shapes hardly ever
    # come again: generation on an H200 makes 1,020 tokens a second with it, 5,831 (H100) without.
    torch.backends.cuda.enable_cudnn_sdp(enabled=False)
    properties = torch.cuda.get_device_properties(index)
    return Device(
        name=f"cuda:{index}",
        title=str(properties.name),
        memory_bytes=int(properties.total_memory),
        num_threads=num_threads,
        has_fast_bfloat16=torch.cuda.is_bf16_supported(including_emulation=False),
    )


def _cpu_has_fast_bfloat16() -> bool:
    # Private, but torch offers no public question; absent in other versions means "no".
    questions = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return any(bool(getattr(torch.cpu, question, lambda: False)()) for question in questions)


def _host_memory_bytes() -> int:
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _CGROUP_LIMITS:
        try:
            limits.append(int(path.read_text()))
        except (OSError, ValueError):  # no such file, or the word "max"
            continue
    return min(limits)
