"""What numerical libraries read of the environment at their start: set before torch is imported."""

from __future__ import annotations

import os

#: oneDNN keeps what it has generated for a product, by the exact number of its rows, and batches of texts
#: hardly ever have one twice. A product takes two entries, 0.55 MiB, so that its own 1,024 are 280 MiB. A
#: step of decoding comes back to its numbers of rows: in bfloat16 256 entries cost it a third of its speed,
#: 512 nothing (decision 27).
_ONEDNN_ENTRIES = 512
#: torch keeps products a second time, with all that was generated for them, 1,024 of each kind: another
#: 280 MiB. They save nothing that can be measured while oneDNN still has its own.
_TORCH_ENTRIES = 16


def set_up_libraries() -> None:
    """What the operator has set stays."""
    _sleep_at_barriers()
    if "DNNL_PRIMITIVE_CACHE_CAPACITY" not in os.environ:  # its older name
        os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", str(_ONEDNN_ENTRIES))
    os.environ.setdefault("LRU_CACHE_CAPACITY", str(_TORCH_ENTRIES))


def _sleep_at_barriers() -> None:
    """OpenMP's threads spin, for milliseconds, while they wait for one another.

    Beside another busy process a forward pass of 7 ms took 35 to 390. Sleeping at once costs a wake-up at
    each of the hundreds of small operations of a step, a third of the speed. GNU's runtime can spin for
    40 microseconds and then sleep, which is good at both (docs/LOG.md).
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ.setdefault("GOMP_SPINCOUNT", "3000")
