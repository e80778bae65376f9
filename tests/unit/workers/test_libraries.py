"""What libraries keep, seen from a process of its own: they read their bounds once."""

from __future__ import annotations

import sys

import pytest

from tests.unit.jobs.test_process import output_of

#: MiB that 400 products of one layer, each with rows of its own, leave behind where a bound was reached before.
_KEPT = """
import ctypes
from workers.libraries import set_up_libraries
set_up_libraries()
import torch
from models.loading.packing import PackedLinear
torch.set_num_threads(1)
class Allocated(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in "arena free fast blocks mapped most kept used idle top".split()]
libc = ctypes.CDLL(None)
libc.mallinfo2.restype = Allocated
layer, inputs = PackedLinear(torch.randn(512, 256), torch.randn(512)), torch.randn(1000, 256)
def compute(rows):
    with torch.inference_mode():
        for number in rows:
            layer(inputs[:number])
    return libc.mallinfo2().used
before = compute(range(100, 500))
print((compute(range(500, 900)) - before) >> 20)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="mallinfo2 is glibc's")
def test_what_is_kept_of_batches_of_ever_new_sizes_has_a_bound() -> None:
    """Soak: a worker grew by 6 MiB a minute, by what oneDNN generates for each number of rows."""
    assert int(output_of(_KEPT)) < 10
    assert int(output_of(_KEPT, LRU_CACHE_CAPACITY="1024", ONEDNN_PRIMITIVE_CACHE_CAPACITY="1024")) > 50
