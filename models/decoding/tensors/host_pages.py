"""Pages in a CPU's memory: the system gives it where it is first written, and gets back what nobody uses."""

from __future__ import annotations

import errno
import math
import mmap

import numpy as np
import torch
from torch import Tensor

from models.decoding.scheduling.pages import Pages
from models.decoding.tensors.kv_pages import KVPages


class HostPages(KVPages):
    """As `KVPages`; only pages that were used take memory."""

    _memory: tuple[mmap.mmap, ...] = ()

    def _empty(self, shape: tuple[int, ...]) -> Tensor:
        num_bytes = math.prod(shape) * self._dtype.itemsize
        try:
            memory = mmap.mmap(-1, max(1, num_bytes), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError as error:
            if error.errno == errno.ENOMEM:
                raise MemoryError(f"no room for {num_bytes} bytes of keys and values") from error
            raise
        self._memory = (*self._memory, memory)
        return torch.frombuffer(memory, dtype=self._dtype)[: math.prod(shape)].view(shape)

    def allocate(self, num_pages: int) -> None:
        """As `KVPages.allocate`."""
        self._memory = ()
        super().allocate(num_pages)

    def give_back(self, free: Pages) -> None:
        """As `KVPages.give_back`."""
        runs = np.split(free, np.flatnonzero(np.diff(free) > 1) + 1) if len(free) else []
        bounds = [(int(run[0]), int(run[-1]) + 1) for run in runs]
        pools = (pool for pair in zip(self.keys, self.values, strict=True) for pool in pair)
        for memory, pool in zip(self._memory, pools, strict=True):
            size = math.prod(pool.shape[1:]) * self._dtype.itemsize
            for first, last in bounds:  # whole pages of the system
                start = -(-first * size // mmap.PAGESIZE) * mmap.PAGESIZE
                length = last * size // mmap.PAGESIZE * mmap.PAGESIZE - start
                if length > 0:
                    memory.madvise(mmap.MADV_DONTNEED, start, length)

    def release(self) -> None:
        """As `KVPages.release`."""
        super().release()
        self._memory = ()
